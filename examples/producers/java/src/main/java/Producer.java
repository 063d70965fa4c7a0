import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends charging sessions to Carbonflow: NDJSON on standard input, a session a line in the fields
 * of the Avro schema whose file is the only argument. It ends with 0 when the broker has
 * acknowledged all of them, and with 1 at the first line that is no session.
 */
public final class Producer {
    /** The id of charging_session.v1 in schemas/catalogue.json: no registry is needed to know it. */
    private static final int CATALOGUE_ID = 1;

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            System.err.println("usage: Producer SCHEMA < sessions.ndjson");
            System.exit(2);
        }
        AtomicLong acknowledged = new AtomicLong();
        String wrong = null;
        try {
            send(Files.readString(Path.of(arguments[0])), acknowledged);
        } catch (IOException | RuntimeException error) {
            wrong = error.getMessage();
        }
        System.out.println(acknowledged + " records acknowledged");
        if (wrong != null) {
            System.err.println(wrong);
            System.exit(1);
        }
    }

    private static void send(String text, AtomicLong acknowledged) throws IOException, InterruptedException {
        Schema schema = new Schema.Parser().parse(text);
        String topic = env("CARBONFLOW_PREFIX", "") + "charging-sessions";
        int id = schemaId(topic, text);
        // The partitioner is murmur2 of the key as long as nobody sets another.
        Map<String, Object> settings = Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, env("CARBONFLOW_BOOTSTRAP", "127.0.0.1:9092"),
                ProducerConfig.ACKS_CONFIG, "all",
                ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
                ProducerConfig.LINGER_MS_CONFIG, 20,
                ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4");
        AtomicReference<Exception> failed = new AtomicReference<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        // Closing it waits until all that was sent is delivered, or has failed.
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            int number = 0;
            String line;
            while (failed.get() == null && (line = lines.readLine()) != null) {
                number += 1;
                GenericRecord session = sessionOf(schema, line, number);
                String key = (String) session.get("account_id");
                producer.send(new ProducerRecord<>(topic, key, encode(session, id)), (place, error) -> {
                    if (error == null) {
                        acknowledged.incrementAndGet();
                    } else {
                        failed.compareAndSet(null, error);
                    }
                });
            }
        }
        if (failed.get() != null) {
            throw new IOException("not delivered: " + failed.get().getMessage(), failed.get());
        }
    }

    private static GenericRecord sessionOf(Schema schema, String line, int number) throws IOException {
        try {
            JsonNode given = JSON.readTree(line);
            for (String name : (Iterable<String>) given::fieldNames) {
                if (schema.getField(name) == null) {
                    throw new IllegalArgumentException("a session has no field " + name);
                }
            }
            GenericRecordBuilder session = new GenericRecordBuilder(schema);
            for (Schema.Field field : schema.getFields()) {
                if (given.has(field.name())) {
                    session.set(field, valueOf(field.schema(), given.get(field.name()), field.name()));
                }
            }
            return session.build(); // Fills in defaults, and complains of what has none.
        } catch (IOException | RuntimeException error) {
            throw new IOException("line " + number + ": " + error.getMessage(), error);
        }
    }

    private static Object valueOf(Schema schema, JsonNode given, String name) {
        switch (schema.getType()) {
            case UNION:
                return given.isNull() ? null : valueOf(schema.getTypes().get(1), given, name);
            case STRING:
                if (given.isTextual()) return given.textValue();
                break;
            case ENUM:
                if (given.isTextual() && schema.hasEnumSymbol(given.textValue())) {
                    return new GenericData.EnumSymbol(schema, given.textValue());
                }
                break;
            case INT:
                if (given.isIntegralNumber() && given.canConvertToInt()) return given.intValue();
                break;
            case LONG:
                if (given.isIntegralNumber() && given.canConvertToLong()) return given.longValue();
                break;
            default:
        }
        throw new IllegalArgumentException(name + " is wrong: " + given);
    }

    /** Return the value of a message: a zero byte, the id in four bytes, the session in Avro. */
    private static byte[] encode(GenericRecord session, int id) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(ByteBuffer.allocate(5).put((byte) 0).putInt(id).array());
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(session.getSchema()).write(session, encoder);
        encoder.flush();
        return bytes.toByteArray();
    }

    /** Return the id of the schema: the registry's where there is one. */
    private static int schemaId(String topic, String text) throws IOException, InterruptedException {
        String registry = env("CARBONFLOW_SCHEMA_REGISTRY_URL", "");
        if (registry.isEmpty()) return CATALOGUE_ID;
        URI uri = URI.create(registry.replaceAll("/+$", "") + "/subjects/" + topic + "-value");
        HttpRequest request = HttpRequest.newBuilder(uri)
                .timeout(Duration.ofSeconds(10))
                .header("Content-Type", "application/vnd.schemaregistry.v1+json")
                .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(Map.of("schema", text))))
                .build();
        HttpResponse<String> answer =
                HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200 || !JSON.readTree(answer.body()).path("id").isInt()) {
            throw new IOException("the registry answers " + answer.statusCode() + ": " + answer.body());
        }
        return JSON.readTree(answer.body()).get("id").intValue();
    }

    private static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
