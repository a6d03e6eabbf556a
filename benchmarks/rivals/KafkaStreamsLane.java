import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/** Group by SKU, tumbling windows with a grace, count and sum in memory, suppressed until the window closes. */
public final class KafkaStreamsLane {
    private static final int THREADS = 2;
    private static final Duration WINDOW = Duration.ofMinutes(5);
    private static final Duration GRACE = Duration.ofSeconds(30);

    private static final AtomicLong toAdd = new AtomicLong();
    private static final CountDownLatch allAdded = new CountDownLatch(1);
    private static final AtomicLong windows = new AtomicLong();
    private static final AtomicLong events = new AtomicLong();
    private static final AtomicLong thousandths = new AtomicLong();

    /** Count and sum of a window. */
    private record Totals(long events, double quantity) {
        Totals plus(Order order) {
            return new Totals(events + 1, quantity + order.quantity);
        }
    }

    /** Arguments: bootstrap servers, topic, application id, state directory, events in the topic. */
    public static void main(String[] args) throws Exception {
        toAdd.set(Long.parseLong(args[4]));
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[2]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, THREADS);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(
                StreamsConfig.mainConsumerPrefix(ConsumerConfig.INTERCEPTOR_CLASSES_CONFIG), SkuAsKey.class.getName());
        KafkaStreams streams = new KafkaStreams(topology(args[1]), settings);
        streams.start();
        allAdded.await();
        streams.close(); // the last commit, which also hands on what the store's cache has held back
        Progress.done(windows.get(), events.get(), thousandths.get());
        Progress.stayUntilMeasured();
    }

    private static Topology topology(String topic) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(topic, Consumed.with(Serdes.String(), orders())
                        .withTimestampExtractor((record, latest) -> ((Order) record.value()).eventTimeMs))
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
                .aggregate(() -> new Totals(0, 0), (sku, order, totals) -> added(totals.plus(order)), inMemory())
                .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
                .toStream()
                .foreach((window, totals) -> closed(totals));
        return builder.build();
    }

    private static Materialized<String, Totals, WindowStore<Bytes, byte[]>> inMemory() {
        return Materialized.<String, Totals>as(
                        Stores.inMemoryWindowStore("totals", WINDOW.plus(GRACE), WINDOW, false))
                .withKeySerde(Serdes.String())
                .withValueSerde(totals());
    }

    private static Totals added(Totals totals) {
        if (toAdd.decrementAndGet() == 0) {
            allAdded.countDown();
        }
        return totals;
    }

    private static void closed(Totals totals) {
        windows.incrementAndGet();
        events.addAndGet(totals.events);
        thousandths.addAndGet(Math.round(totals.quantity * 1000));
    }

    private static Serde<Order> orders() {
        return Serdes.serdeFrom(
                (topic, order) -> {
                    throw new UnsupportedOperationException("orders are only read");
                },
                (topic, json) -> {
                    try {
                        return Order.parse(json);
                    } catch (IOException broken) {
                        throw new UncheckedIOException(broken);
                    }
                });
    }

    private static Serde<Totals> totals() {
        return Serdes.serdeFrom(
                (topic, totals) -> totals == null
                        ? null
                        : ByteBuffer.allocate(16).putLong(totals.events).putDouble(totals.quantity).array(),
                (topic, bytes) -> bytes == null ? null : totals(ByteBuffer.wrap(bytes)));
    }

    private static Totals totals(ByteBuffer bytes) {
        return new Totals(bytes.getLong(), bytes.getDouble());
    }
}
