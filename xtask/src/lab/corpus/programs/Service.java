import java.lang.reflect.Proxy;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** Service MODE RATE_KIB_S SPAN_S SEED: as service.py, under the collector of its flags. */
public class Service {
    static final Map<String, Object> KEPT = new HashMap<>();
    static final List<Object> LIST = new ArrayList<>();
    static Object sink;

    public static void main(String[] args) throws Exception {
        String mode = args[0];
        double rate = Double.parseDouble(args[1]) * 1024;
        Random dice = new Random(Long.parseLong(args[3]));
        double owed = 0;
        long begun = System.nanoTime();
        for (long t = 0;; t++) {
            int requests = mode.equals("idle") ? 1 : 10 + dice.nextInt(30);
            for (int i = 0; i < requests; i++) {
                StringBuilder text = new StringBuilder();
                for (int k = 0; k < 200; k++) {
                    text.append(dice.nextInt()).append(',');
                }
                sink = text.toString().split(",");
            }
            owed += rate;
            switch (mode) {
                case "map-leak" -> {
                    while (owed > 0) {
                        KEPT.put("key-" + t + "-" + owed, new int[500 + dice.nextInt(1000)]);
                        owed -= 4200;
                    }
                }
                case "classes" -> {
                    // A loader for each deployment, and none is ever let go.
                    while (owed > 0) {
                        ClassLoader loader = new URLClassLoader(new URL[0], Service.class.getClassLoader());
                        LIST.add(Proxy.newProxyInstance(loader, new Class<?>[] {Shape.class}, (p, m, a) -> null));
                        owed -= 12_000;
                    }
                }
                case "thread-locals" -> {
                    ThreadLocal<byte[]> local = new ThreadLocal<>();
                    local.set(new byte[(int) Math.max(1, rate)]);
                    LIST.add(local);
                }
                default -> { }
            }
            long next = begun + (t + 1) * 1_000_000_000L - System.nanoTime();
            if (next > 0) {
                Thread.sleep(next / 1_000_000, (int) (next % 1_000_000));
            }
        }
    }

    /** What is implemented by the proxies. */
    public interface Shape {
        double area();
    }
}
