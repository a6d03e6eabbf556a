import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.time.Instant;

/** What an aggregation by SKU needs of an order line; the other seven fields are skipped, nothing is checked. */
@JsonIgnoreProperties(ignoreUnknown = true)
public class Order {
    private static final ObjectReader READER = new ObjectMapper().readerFor(Order.class);

    public String sku;
    public long eventTimeMs;
    public double quantity;

    @JsonProperty("event_time")
    public void parseEventTime(String instant) {
        eventTimeMs = Instant.parse(instant).toEpochMilli();
    }

    static Order parse(byte[] json) throws IOException {
        Progress.recordSeen();
        return READER.readValue(json);
    }
}
