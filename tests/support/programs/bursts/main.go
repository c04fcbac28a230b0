// Keeps calls in flight on one connection:  burst host:port IN_FLIGHT ROUNDS
// Prints how often each outcome was seen, as JSON.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "digits.example/digitsv1"
)

func main() {
	inFlight, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	rounds, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.Dial(os.Args[1], grpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := pb.NewPredictionServiceClient(connection)
	request := &pb.PredictRequest{Images: make([]byte, 784)}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	outcomes := map[string]int{}
	var counting sync.Mutex
	var callers sync.WaitGroup
	for caller := 0; caller < inFlight; caller++ {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for round := 0; round < rounds; round++ {
				outcome := "OK"
				if _, err := client.Predict(ctx, request); err != nil {
					outcome = err.Error()
				}
				counting.Lock()
				outcomes[outcome]++
				counting.Unlock()
			}
		}()
	}
	callers.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		log.Fatal(err)
	}
}
