import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Consumes a topic as a member of a group until its input ends, and then leaves. It writes its
 * partitions to its output whenever they change, one line each time.
 *
 * <p>Usage: Member TOPIC NAME=VALUE..., the consumer's configuration
 */
class Member {
  public static void main(String[] args) throws Exception {
    Properties config = new Properties();
    for (String arg : List.of(args).subList(1, args.length)) {
      String[] pair = arg.split("=", 2);
      config.put(pair[0], pair[1]);
    }
    CountDownLatch ended = new CountDownLatch(1);
    Thread input =
        new Thread(
            () -> {
              try {
                while (System.in.read() >= 0) {}
              } catch (java.io.IOException e) {
                // It has ended, too.
              }
              ended.countDown();
            });
    input.setDaemon(true);
    input.start();
    var bytes = new ByteArrayDeserializer();
    try (var consumer = new KafkaConsumer<>(config, bytes, bytes)) {
      consumer.subscribe(List.of(args[0]));
      String before = null;
      while (ended.getCount() > 0) {
        consumer.poll(Duration.ofMillis(100));
        String now =
            consumer.assignment().stream()
                .map(p -> Integer.toString(p.partition()))
                .sorted()
                .collect(Collectors.joining(","));
        if (!now.equals(before)) {
          System.out.println(now);
          before = now;
        }
      }
    }
  }
}
