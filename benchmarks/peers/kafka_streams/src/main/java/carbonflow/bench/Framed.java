package carbonflow.bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/**
 * Records of a generated class in Confluent's framing: a zero byte, four bytes of schema id, Avro.
 *
 * <p>One thread may use it: it keeps its decoder, encoder and buffer.
 */
final class Framed<T extends SpecificRecord> implements Serde<T> {
    private static final int FRAME_BYTES = 5;

    private final SpecificDatumReader<T> reader;
    private final SpecificDatumWriter<T> writer;
    private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(256);
    private BinaryDecoder decoder;
    private BinaryEncoder encoder;

    Framed(Class<T> kind) {
        reader = new SpecificDatumReader<>(kind);
        writer = new SpecificDatumWriter<>(kind);
    }

    @Override
    public Serializer<T> serializer() {
        return (topic, record) -> encode(record);
    }

    @Override
    public Deserializer<T> deserializer() {
        return (topic, data) -> decode(data);
    }

    /** Returns the record, or null where there is none that can be read. */
    private T decode(byte[] data) {
        if (data == null || data.length <= FRAME_BYTES || data[0] != 0) {
            return null;
        }
        int length = data.length - FRAME_BYTES;
        decoder = DecoderFactory.get().binaryDecoder(data, FRAME_BYTES, length, decoder);
        try {
            return reader.read(null, decoder);
        } catch (IOException | AvroRuntimeException | IndexOutOfBoundsException broken) {
            return null;
        }
    }

    private byte[] encode(T record) {
        buffer.reset();
        buffer.write(new byte[FRAME_BYTES], 0, FRAME_BYTES);
        encoder = EncoderFactory.get().directBinaryEncoder(buffer, encoder);
        try {
            writer.write(record, encoder);
            encoder.flush();
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible);
        }
        return buffer.toByteArray();
    }
}
