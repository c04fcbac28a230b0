// The floor under every gRPC server: digits.v1 over Debian's libgrpc++, and no model. Every image is answered with the
// digit 7, so that replies have the size of real ones.
//
//     echo PORT

#include <grpcpp/grpcpp.h>

#include <csignal>
#include <iostream>
#include <string>

#include "digits/v1/prediction.grpc.pb.h"

namespace {

constexpr size_t kImageBytes = 28 * 28;
constexpr int kMaxMessageBytes = 4 * 1024 * 1024;

// The synchronous API, which gRPC's documentation teaches and most C++ servers use. The callback API costs about a third
// less CPU in this echo.
class Echo final : public digits::v1::PredictionService::Service {
  grpc::Status Predict(grpc::ServerContext* /*context*/, const digits::v1::PredictRequest* request,
                       digits::v1::PredictResponse* response) override {
    const int images = static_cast<int>(request->images().size() / kImageBytes);
    response->mutable_digits()->Resize(images, 7);
    response->mutable_confidences()->Resize(images, 0.5F);
    response->set_model_version(1);
    return grpc::Status::OK;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: echo PORT\n";
    return 2;
  }
  // Blocked here, before gRPC starts its threads, and so in all of them: only sigwait below sees it.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  Echo echo;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(std::string("127.0.0.1:") + argv[1], grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.RegisterService(&echo);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  int received = 0;
  sigwait(&stop, &received);
  server->Shutdown();
  return 0;
}
