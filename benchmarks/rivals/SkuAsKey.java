import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerInterceptor;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Gives each record its SKU as key, as if the topic had been written so.
 *
 * <p>The topic has no keys, and Kafka Streams groups by a new key only after it has sent every record through a topic
 * of its own. As it does not read partitions in step, records can come out of that topic later than a grace of 30 s. So
 * windows are per partition, as the stream worker's are.
 */
public final class SkuAsKey implements ConsumerInterceptor<byte[], byte[]> {
    private static final byte[] BEFORE = "\"sku\":\"".getBytes(StandardCharsets.US_ASCII);

    @Override
    public ConsumerRecords<byte[], byte[]> onConsume(ConsumerRecords<byte[], byte[]> records) {
        Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> keyed = new HashMap<>();
        for (TopicPartition partition : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> ofPartition = new ArrayList<>();
            records.records(partition).forEach(record -> ofPartition.add(keyed(record)));
            keyed.put(partition, ofPartition);
        }
        return new ConsumerRecords<>(keyed, records.nextOffsets());
    }

    private static ConsumerRecord<byte[], byte[]> keyed(ConsumerRecord<byte[], byte[]> record) {
        byte[] sku = sku(record.value());
        return new ConsumerRecord<>(
                record.topic(), record.partition(), record.offset(), record.timestamp(), record.timestampType(),
                sku.length, record.serializedValueSize(), sku, record.value(), record.headers(), Optional.empty());
    }

    /** From behind `"sku":"` to the next quotation mark. */
    private static byte[] sku(byte[] json) {
        int start = 0;
        while (!Arrays.equals(json, start, start + BEFORE.length, BEFORE, 0, BEFORE.length)) {
            start++;
        }
        start += BEFORE.length;
        int end = start;
        while (json[end] != '"') {
            end++;
        }
        return Arrays.copyOfRange(json, start, end);
    }

    @Override
    public void onCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {}

    @Override
    public void close() {}

    @Override
    public void configure(Map<String, ?> settings) {}
}
