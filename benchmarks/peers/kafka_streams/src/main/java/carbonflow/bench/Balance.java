package carbonflow.bench;

import carbonflow.ChargingSession;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Adds what a session emitted to the balance of its account and hands on both. */
final class Balance implements Processor<String, ChargingSession, String, BalanceChanged> {
    static final String STORE = "balances";

    /** CO2 per kWh in 2023 [mg]: MEE and NBS, announcement 47 of 2025. */
    private static final Map<String, Long> FACTORS_MG =
            Map.of(
                    "CN-BJ", 555_400L,
                    "CN-SH", 573_700L,
                    "CN-GD", 441_900L,
                    "CN-SC", 156_400L,
                    "CN-HB", 404_400L,
                    "CN-LN", 487_800L,
                    "CN-SN", 633_500L,
                    "CN-XJ", 602_100L);

    private final LongAdder worked;
    private ProcessorContext<String, BalanceChanged> context;
    private KeyValueStore<String, Long> balances;

    Balance(LongAdder worked) {
        this.worked = worked;
    }

    @Override
    public void init(ProcessorContext<String, BalanceChanged> given) {
        context = given;
        balances = given.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, ChargingSession> record) {
        worked.increment();
        ChargingSession session = record.value();
        Long factorMg = session == null ? null : FACTORS_MG.get(session.getGridRegion());
        if (factorMg == null) {
            return;
        }
        String account = session.getAccountId();
        long amountMg = Math.round(session.getEnergyWh() * factorMg / 1000.0);
        Long before = balances.get(account);
        long balanceMg = (before == null ? 0 : before) + amountMg;
        balances.put(account, balanceMg);
        context.forward(
                record.withKey(account)
                        .withValue(
                                new BalanceChanged(
                                        session.getSessionId(), account, amountMg, balanceMg)));
    }
}
