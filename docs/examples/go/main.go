// The digit in each image file:  go run . host:port FILE…
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"

	pb "digits.example/digitsv1"
)

const deadline = 5 * time.Second

// gRPC tries again by itself, within the deadline, when nobody answers or the server is about to stop.
const retries = `{"methodConfig": [{
	"name": [{"service": "digits.v1.PredictionService"}],
	"retryPolicy": {
		"maxAttempts": 4,
		"initialBackoff": "0.1s",
		"maxBackoff": "2s",
		"backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go run . host:port FILE…")
	}
	files := os.Args[2:]
	request := &pb.PredictRequest{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		request.ImageFiles = append(request.ImageFiles, content)
	}

	connection, err := grpc.Dial(os.Args[1], grpc.WithInsecure(), grpc.WithDefaultServiceConfig(retries))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	reply, err := pb.NewPredictionServiceClient(connection).Predict(ctx, request)
	if err != nil {
		log.Fatal(err) // rpc error: code = InvalidArgument desc = …
	}
	for place, digit := range reply.Digits {
		fmt.Printf("%s  %d  %.4f\n", files[place], digit, reply.Confidences[place])
	}
	fmt.Println("model version", reply.ModelVersion)
}
