// Open-loop load: requests leave when the schedule says, whether or not earlier ones were answered, and each latency
// counts from the moment the request was meant to leave. A server that stalls cannot slow the load down and so hide it.
//
//     open_loop HOST:PORT METHOD PAYLOAD_FILE REQUESTS_PER_SECOND SECONDS SEED
//
// Arrivals are a Poisson process. One line per request, in the order of arrival:
//
//     intended (µs since the start)  late (µs from intended to sent)  latency (µs from intended to answered)
//     gRPC status code  bytes of the reply message

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

constexpr auto kDeadline = std::chrono::seconds(10);
constexpr int kMaxMessageBytes = 64 * 1024 * 1024;

struct Call {
  Clock::duration intended;
  Clock::duration sent;
  Clock::duration answered;
  grpc::ClientContext context;
  grpc::ByteBuffer reply;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
};

std::vector<std::unique_ptr<Call>> PoissonCalls(double rate, double seconds, unsigned seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(rate);
  std::vector<std::unique_ptr<Call>> calls;
  for (double at = gap(random); at < seconds; at += gap(random)) {
    calls.push_back(std::make_unique<Call>());
    calls.back()->intended = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at));
  }
  return calls;
}

grpc::ByteBuffer ReadPayload(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

void Collect(grpc::CompletionQueue* queue, size_t count, Clock::time_point start) {
  void* tag = nullptr;
  bool ok = false;
  for (size_t done = 0; done < count && queue->Next(&tag, &ok); ++done) {
    static_cast<Call*>(tag)->answered = Clock::now() - start;
  }
}

double Count(Clock::duration duration) { return Microseconds(duration).count(); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::cerr << "usage: open_loop HOST:PORT METHOD PAYLOAD_FILE REQUESTS_PER_SECOND SECONDS SEED\n";
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1UL);  // ns; the default of 50 µs would make every request late
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  const auto channel = grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + kDeadline)) return 1;
  grpc::GenericStub stub(channel);
  const grpc::ByteBuffer payload = ReadPayload(argv[3]);
  const auto calls = PoissonCalls(std::stod(argv[4]), std::stod(argv[5]), std::stoul(argv[6]));

  grpc::CompletionQueue queue;
  const Clock::time_point start = Clock::now();
  std::thread collector(Collect, &queue, calls.size(), start);
  for (const auto& call : calls) {
    std::this_thread::sleep_until(start + call->intended);
    call->context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    call->sent = Clock::now() - start;
    call->reader = stub.PrepareUnaryCall(&call->context, argv[2], payload, &queue);
    call->reader->StartCall();
    call->reader->Finish(&call->reply, &call->status, call.get());
  }
  collector.join();

  for (const auto& call : calls) {
    std::printf("%.0f\t%.0f\t%.0f\t%d\t%zu\n", Count(call->intended), Count(call->sent - call->intended),
                Count(call->answered - call->intended), call->status.error_code(), call->reply.Length());
  }
  return 0;
}
