import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** Held MODE RATE_KIB_S SPAN_S SEED: as held.py. */
public class Held {
    static final List<Object> KEPT = new ArrayList<>();
    static Object sink;

    public static void main(String[] args) throws Exception {
        String mode = args[0];
        double rate = Double.parseDouble(args[1]) * 1024;
        double span = Double.parseDouble(args[2]);
        Random dice = new Random(Long.parseLong(args[3]));
        double owed = 0;
        int room = (int) (rate / 30_000 * span * 0.4);
        Map<Long, byte[]> lru = new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<Long, byte[]> eldest) {
                return size() > room;
            }
        };
        ArrayDeque<byte[]> young = new ArrayDeque<>();
        long begun = System.nanoTime();
        for (long t = 0;; t++) {
            double part = (System.nanoTime() - begun) / 1e9 / span;
            // Garbage of each request, in every mode.
            for (int i = 0; i < 12; i++) {
                sink = new byte[dice.nextInt(60_000)];
            }
            switch (mode) {
                case "leak" -> {
                    owed += rate;
                    while (owed > 0) {
                        byte[] one = new byte[1_000 + dice.nextInt(30_000)];
                        KEPT.add(one);
                        owed -= one.length + 24;
                    }
                }
                case "direct" -> {
                    owed += part > 0.25 ? rate : 0;
                    while (owed > 0) {
                        ByteBuffer one = ByteBuffer.allocateDirect(20_000 + dice.nextInt(40_000));
                        while (one.remaining() > 0) {
                            one.put((byte) 1);
                        }
                        KEPT.add(one);
                        owed -= one.capacity();
                    }
                }
                case "threads" -> {
                    if (t % 3 == 0) {
                        Thread thread = new Thread(() -> {
                            Map<Integer, byte[]> mine = new HashMap<>();
                            mine.put(1, new byte[30_000]);
                            synchronized (mine) {
                                try {
                                    mine.wait();
                                } catch (InterruptedException e) {
                                    sink = mine;
                                }
                            }
                        });
                        thread.setDaemon(true);
                        thread.start();
                    }
                }
                case "lru" -> {
                    for (int i = 0; i < Math.max(1, (int) (rate / 30_000)); i++) {
                        lru.put(t * 1000 + i, new byte[15_000 + dice.nextInt(30_000)]);
                    }
                }
                case "gc" -> {
                    for (int i = 0; i < 10; i++) {
                        young.add(new byte[100_000 + dice.nextInt(100_000)]);
                    }
                    if (young.size() > 150) {
                        young.clear();
                    }
                }
                default -> { }
            }
            long next = begun + (t + 1) * 1_000_000_000L - System.nanoTime();
            if (next > 0) {
                Thread.sleep(next / 1_000_000, (int) (next % 1_000_000));
            }
        }
    }
}
