package carbonflow.bench;

import carbonflow.ChargingSession;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * The same job as Kafka Streams does it: one thread, balances in RocksDB with a changelog, a
 * transaction for each commit interval, one result for each session.
 *
 * <p>It is asked for as much as Carbonflow in what it guarantees (exactly_once_v2) and for less in
 * what it does: no ledger of transfers, no recognition of repeats, one factor for each region, and
 * what is broken it only leaves out. It is asked for more in one thing: its state is on disk and
 * may outgrow memory.
 *
 * <p>Settings come from the environment: BENCH_BOOTSTRAP, BENCH_TOPIC, BENCH_OUTPUT, BENCH_APP,
 * BENCH_PORT, BENCH_DATA_DIR.
 */
public final class Peer {
    private Peer() {}

    public static void main(String[] arguments) throws IOException {
        Map<String, String> environ = System.getenv();
        LongAdder worked = new LongAdder();
        KafkaStreams streams =
                new KafkaStreams(
                        topology(environ.get("BENCH_TOPIC"), environ.get("BENCH_OUTPUT"), worked),
                        settings(environ));
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    Runtime.getRuntime().halt(1);
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        serve(Integer.parseInt(environ.get("BENCH_PORT")), worked);
        streams.start();
    }

    static Topology topology(String topic, String output, LongAdder worked) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(
                Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(Balance.STORE),
                                Serdes.String(),
                                Serdes.Long())
                        .withCachingEnabled());
        builder.stream(topic, Consumed.with(Serdes.String(), new Framed<>(ChargingSession.class)))
                .process(() -> new Balance(worked), Balance.STORE)
                .to(output, Produced.with(Serdes.String(), new Framed<>(BalanceChanged.class)));
        return builder.build();
    }

    /**
     * Those that made it fastest when tried: a cache for all balances, so that an account's
     * changelog gets one record for each transaction and not one for each event; larger polls,
     * fetches and producer batches than by default, and batches that linger as long as a
     * transaction may. The commit interval is exactly_once_v2's own default.
     */
    static Properties settings(Map<String, String> environ) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, environ.get("BENCH_APP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, environ.get("BENCH_BOOTSTRAP"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, environ.get("BENCH_DATA_DIR"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        settings.put(
                StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return settings;
    }

    private static void serve(int port, LongAdder worked) throws IOException {
        HttpServer server =
                HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext(
                "/metrics",
                exchange -> {
                    String text = "peer_events_total " + worked.sum() + "\n";
                    byte[] body = text.getBytes(StandardCharsets.US_ASCII);
                    exchange.getResponseHeaders().set("Content-Type", "text/plain; version=0.0.4");
                    exchange.sendResponseHeaders(200, body.length);
                    try (OutputStream out = exchange.getResponseBody()) {
                        out.write(body);
                    }
                });
        server.start();
    }
}
