import java.util.ArrayList;
import java.util.List;

/** Fills a heap to so many MiB, works so many seconds, which makes garbage, then keeps so many MiB more, one each 50 ms. */
final class Heap {
    private static final List<byte[]> kept = new ArrayList<>();
    private static int sink;

    private static void keep(int mib) throws InterruptedException {
        for (int i = 0; i < mib; i++) {
            byte[] piece = new byte[1 << 20];
            java.util.Arrays.fill(piece, (byte) 1);
            kept.add(piece);
            Thread.sleep(50);
        }
    }

    public static void main(String[] words) throws InterruptedException {
        keep(Integer.parseInt(words[0]));
        for (int i = 0; i < 10 * Integer.parseInt(words[1]); i++) {
            for (int j = 0; j < 10; j++) {
                byte[] garbage = new byte[100_000];
                garbage[i % garbage.length] = 1;
                sink += garbage.length;
            }
            Thread.sleep(100);
        }
        keep(Integer.parseInt(words[2]));
    }
}
