import java.io.IOException;

/** What the benchmark is told: a line when the first record is there, a line when the last one is done. */
final class Progress {
    private static volatile boolean begun;

    private Progress() {}

    /** Called with each record, before anything is done with it. */
    static void recordSeen() {
        if (!begun) {
            begin();
        }
    }

    private static synchronized void begin() {
        if (!begun) {
            begun = true;
            say("first");
        }
    }

    /** Windows that closed, events in them, and the sum of their quantities in thousandths. */
    static void done(long windows, long events, long thousandths) {
        say("done " + windows + " " + events + " " + thousandths);
    }

    /** The process stays until the benchmark has read its CPU time and memory, and closes standard input. */
    static void stayUntilMeasured() throws IOException {
        while (System.in.read() >= 0) {}
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
