import java.io.IOException;
import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;

/** KafkaSource, watermarks per partition, key by SKU, tumbling windows, count and sum, a sink that adds up. */
public final class FlinkLane {
    private static final int PARALLELISM = 2;
    private static final Duration WINDOW = Duration.ofMinutes(5);
    private static final Duration OUT_OF_ORDERNESS = Duration.ofSeconds(30);

    /** Arguments: bootstrap servers, topic. The source ends where the topic ended when it began. */
    public static void main(String[] args) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("state.backend.type", "hashmap");
        settings.setString("pipeline.object-reuse", "true"); // chained operators hand objects on uncopied
        settings.setString("pipeline.generic-types", "false"); // refuse to fall back to Kryo
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(PARALLELISM, settings);
        KafkaSource<Order> orders = KafkaSource.<Order>builder()
                .setBootstrapServers(args[0])
                .setTopics(args[1])
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setValueOnlyDeserializer(new OrderSchema())
                .build();
        WatermarkStrategy<Order> watermarks = WatermarkStrategy.<Order>forBoundedOutOfOrderness(OUT_OF_ORDERNESS)
                .withTimestampAssigner((order, appended) -> order.eventTimeMs);
        env.fromSource(orders, watermarks, "orders")
                .keyBy(order -> order.sku)
                .window(TumblingEventTimeWindows.of(WINDOW))
                .aggregate(new CountAndSum())
                .sinkTo(new TotalsSink());
        env.execute("count and sum by SKU and window");
        Progress.stayUntilMeasured();
    }

    /** JSON to orders. */
    public static final class OrderSchema implements DeserializationSchema<Order> {
        @Override
        public Order deserialize(byte[] json) throws IOException {
            return Order.parse(json);
        }

        @Override
        public boolean isEndOfStream(Order order) {
            return false;
        }

        @Override
        public TypeInformation<Order> getProducedType() {
            return TypeInformation.of(Order.class);
        }
    }

    /** A window's state and its result. */
    public static final class Totals {
        public long events;
        public double quantity;
    }

    /** Count and sum of a window. */
    public static final class CountAndSum implements AggregateFunction<Order, Totals, Totals> {
        @Override
        public Totals createAccumulator() {
            return new Totals();
        }

        @Override
        public Totals add(Order order, Totals totals) {
            totals.events++;
            totals.quantity += order.quantity;
            return totals;
        }

        @Override
        public Totals getResult(Totals totals) {
            return totals;
        }

        @Override
        public Totals merge(Totals one, Totals other) {
            one.events += other.events;
            one.quantity += other.quantity;
            return one;
        }
    }

    /** Adds closed windows up; the last writer to reach the end of the input says what there was. */
    public static final class TotalsSink implements Sink<Totals> {
        private static int writersAtWork = PARALLELISM;
        private static long windows;
        private static long events;
        private static long thousandths;

        @Override
        public SinkWriter<Totals> createWriter(WriterInitContext context) {
            return new Writer();
        }

        private static synchronized void add(Writer writer) {
            windows += writer.windows;
            events += writer.events;
            thousandths += writer.thousandths;
            if (--writersAtWork == 0) {
                Progress.done(windows, events, thousandths);
            }
        }

        private static final class Writer implements SinkWriter<Totals> {
            private long windows;
            private long events;
            private long thousandths;

            @Override
            public void write(Totals totals, Context context) {
                windows++;
                events += totals.events;
                thousandths += Math.round(totals.quantity * 1000);
            }

            @Override
            public void flush(boolean endOfInput) {
                if (endOfInput) {
                    add(this);
                }
            }

            @Override
            public void close() {}
        }
    }
}
