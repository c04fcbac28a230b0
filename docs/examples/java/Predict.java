import com.google.protobuf.ByteString;
import digits.v1.Prediction.PredictRequest;
import digits.v1.Prediction.PredictResponse;
import digits.v1.PredictionServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The digit in each image file: java Predict host:port FILE… */
public final class Predict {
  private static final int DEADLINE_SECONDS = 5;

  /** gRPC tries again by itself, within the deadline, when nobody answers or the server is about to stop. */
  private static final Map<String, ?> RETRIES =
      Map.of(
          "methodConfig",
          List.of(
              Map.of(
                  "name", List.of(Map.of("service", "digits.v1.PredictionService")),
                  "retryPolicy",
                      Map.of(
                          "maxAttempts", 4.0,
                          "initialBackoff", "0.1s",
                          "maxBackoff", "2s",
                          "backoffMultiplier", 2.0,
                          "retryableStatusCodes", List.of("UNAVAILABLE")))));

  public static void main(String[] arguments) throws IOException {
    if (arguments.length < 2) {
      System.err.println("usage: java Predict host:port FILE…");
      System.exit(2);
    }
    PredictRequest.Builder request = PredictRequest.newBuilder();
    for (int place = 1; place < arguments.length; place++) {
      request.addImageFiles(ByteString.copyFrom(Files.readAllBytes(Path.of(arguments[place]))));
    }
    ManagedChannel channel =
        ManagedChannelBuilder.forTarget(arguments[0])
            .usePlaintext()
            .defaultServiceConfig(RETRIES)
            .enableRetry()
            .build();
    try {
      PredictResponse reply =
          PredictionServiceGrpc.newBlockingStub(channel)
              .withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS)
              .predict(request.build());
      for (int place = 0; place < reply.getDigitsCount(); place++) {
        System.out.printf(
            "%s  %d  %.4f%n", arguments[place + 1], reply.getDigits(place), reply.getConfidences(place));
      }
      System.out.println("model version " + reply.getModelVersion());
    } catch (StatusRuntimeException error) {
      System.err.println(error.getStatus());
      System.exit(1);
    } finally {
      channel.shutdownNow();
    }
  }
}
