import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Writes records with Java's Avro and Apicurio's serializer for Kafka, in Confluent's wire
 * format: one line of "avro BASE64" each.
 *
 * <p>usage: java Produce.java URL, the base of the registry's own API
 */
class Produce {
  static final String FIELDS = """
      {"name":"id","type":"long"},
      {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
      {"name":"day","type":{"type":"int","logicalType":"date"}},
      {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":30,"scale":4}},
      {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
      {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["VIEW","APPLY"]}},
      {"name":"user","type":["null","string"],"default":null},
      {"name":"score","type":"double"},
      {"name":"jobs","type":{"type":"array","items":{"type":"record","name":"Job","fields":[{"name":"id","type":"string"}]}}},
      {"name":"tags","type":{"type":"map","values":"int"}},
      {"name":"hash","type":{"type":"fixed","name":"Hash","size":2}}""";

  static Schema schema(String more) {
    return new Schema.Parser().parse(
        "{\"type\":\"record\",\"name\":\"Viewed\",\"namespace\":\"java\",\"fields\":[" + FIELDS + more + "]}");
  }

  static GenericRecordBuilder viewed(Schema schema) {
    Schema jobs = schema.getField("jobs").schema();
    GenericData.Record job = new GenericData.Record(jobs.getElementType());
    job.put("id", "j1");
    return new GenericRecordBuilder(schema)
        .set("id", Long.MAX_VALUE)
        .set("at", 1767323045678901L)
        .set("day", 20455)
        .set("price", ByteBuffer.wrap(new BigDecimal("-12345678901234567890.1234").unscaledValue().toByteArray()))
        .set("uuid", "6f2c9e5a-0d3b-5c41-9a7e-3b1f8d4c2e60")
        .set("kind", new GenericData.EnumSymbol(schema.getField("kind").schema(), "VIEW"))
        .set("score", 0.1)
        .set("jobs", new GenericData.Array<>(jobs, List.of(job)))
        .set("tags", Map.of("new", 1))
        .set("hash", new GenericData.Fixed(schema.getField("hash").schema(), new byte[] {-1, 0}));
  }

  static AvroKafkaSerializer<GenericRecord> serializer(String url) {
    AvroKafkaSerializer<GenericRecord> s = new AvroKafkaSerializer<>();
    s.configure(Map.of(
        "apicurio.registry.url", url,
        "apicurio.registry.as-confluent", true,
        "apicurio.registry.use-id", "contentId", // as Confluent's API counts
        "apicurio.registry.headers.enabled", false, // the ID is in the value
        "apicurio.registry.auto-register", true,
        "apicurio.registry.auto-register.if-exists", "RETURN_OR_UPDATE"), false);
    return s;
  }

  static void write(AvroKafkaSerializer<GenericRecord> s, GenericRecord value) {
    byte[] data = s.serialize("java", new RecordHeaders(), value);
    System.out.println("avro " + Base64.getEncoder().encodeToString(data));
  }

  public static void main(String[] args) {
    AvroKafkaSerializer<GenericRecord> s = serializer(args[0]);
    write(s, viewed(schema("")).build());
    // The next version of the schema.
    Schema evolved = schema(",{\"name\":\"rank\",\"type\":\"int\",\"default\":0}");
    write(s, viewed(evolved).set("user", "jane").set("rank", 3).build());
    s.close();
  }
}
