import com.google.protobuf.ByteString;
import digits.v1.Prediction.PredictRequest;
import digits.v1.Prediction.PredictResponse;
import digits.v1.PredictionServiceGrpc;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The digit in each image file: java Predict host:port FILE… */
public final class Predict {
  private static final int DEADLINE_SECONDS = 5;

  /** gRPC tries again by itself, within the deadline, when no server answers or the server is about to stop. */
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

  public static void main(String[] arguments) {
    if (arguments.length < 2) {
      System.err.println("usage: java Predict host:port FILE…");
      System.exit(2);
    }
    try {
      predict(arguments);
    } catch (NoSuchFileException error) {
      fail("cannot read " + error.getMessage() + ": no such file");
    } catch (StatusRuntimeException error) {
      Throwable cause = error; // the first one of all: with TLS it says what is wrong with a certificate
      while (cause.getCause() != null) {
        cause = cause.getCause();
      }
      String what = cause == error ? error.getStatus().getDescription() : cause.getMessage();
      fail(error.getStatus().getCode() + ": " + what);
    } catch (IOException | RuntimeException error) {
      fail(error.getMessage());
    }
  }

  private static void predict(String[] arguments) throws IOException {
    PredictRequest.Builder request = PredictRequest.newBuilder();
    for (int place = 1; place < arguments.length; place++) {
      request.addImageFiles(ByteString.copyFrom(Files.readAllBytes(Path.of(arguments[place]))));
    }
    Metadata headers = headers();
    ManagedChannel channel =
        Grpc.newChannelBuilder(arguments[0], credentials())
            .defaultServiceConfig(RETRIES)
            .enableRetry()
            .build();
    try {
      PredictResponse reply =
          PredictionServiceGrpc.newBlockingStub(channel)
              .withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS)
              .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
              .predict(request.build());
      for (int place = 0; place < reply.getDigitsCount(); place++) {
        System.out.printf(
            "%s  %d  %.4f%n", arguments[place + 1], reply.getDigits(place), reply.getConfidences(place));
      }
      System.out.println("model version " + reply.getModelVersion());
    } finally {
      channel.shutdownNow();
    }
  }

  /** Plaintext, or TLS as the environment says; see the README beside this folder. */
  private static ChannelCredentials credentials() throws IOException {
    if (!encrypted()) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    if (variable("ROOT_CERTIFICATES") != null) {
      tls.trustManager(file("ROOT_CERTIFICATES"));
    }
    if (variable("CERTIFICATE_CHAIN") != null) {
      tls.keyManager(file("CERTIFICATE_CHAIN"), file("PRIVATE_KEY"));
    }
    return tls.build();
  }

  private static Metadata headers() throws IOException {
    Metadata headers = new Metadata();
    if (variable("TOKEN_FILE") != null) {
      if (!encrypted()) {
        throw new IllegalArgumentException("a token is sent over TLS only: set DIGITS_ROOT_CERTIFICATES");
      }
      String token = Files.readString(file("TOKEN_FILE").toPath()).strip();
      headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    }
    return headers;
  }

  private static boolean encrypted() {
    return variable("TLS") != null || variable("ROOT_CERTIFICATES") != null || variable("CERTIFICATE_CHAIN") != null;
  }

  private static String variable(String name) {
    String value = System.getenv("DIGITS_" + name);
    return value == null || value.isEmpty() ? null : value;
  }

  private static File file(String name) throws IOException {
    String path = variable(name);
    if (path == null) {
      throw new IllegalArgumentException("DIGITS_" + name + " is not set");
    }
    if (!Files.isReadable(Path.of(path))) {
      throw new IOException("DIGITS_" + name + ": cannot read " + path);
    }
    return new File(path);
  }

  private static void fail(String sentence) {
    System.err.println(sentence);
    System.exit(1);
  }
}
