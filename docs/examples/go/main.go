// The digit in each image file:  predict host:port FILE…
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pb "digits.example/digitsv1"
)

const deadline = 5 * time.Second

// gRPC tries again by itself, within the deadline, when no server answers or the server is about to stop.
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
	log.SetFlags(0)
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: predict host:port FILE…")
		os.Exit(2)
	}
	if err := predict(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func predict(target string, files []string) error {
	request := &pb.PredictRequest{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("cannot read an image: %w", err)
		}
		request.ImageFiles = append(request.ImageFiles, content)
	}
	transport, err := transportCredentials()
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(
		target, grpc.WithTransportCredentials(transport), grpc.WithDefaultServiceConfig(retries))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if ctx, err = withToken(ctx, transport.Info().SecurityProtocol == "tls"); err != nil {
		return err
	}
	reply, err := pb.NewPredictionServiceClient(connection).Predict(ctx, request)
	if err != nil {
		return err // rpc error: code = InvalidArgument desc = …
	}
	for place, digit := range reply.Digits {
		fmt.Printf("%s  %d  %.4f\n", files[place], digit, reply.Confidences[place])
	}
	fmt.Println("model version", reply.ModelVersion)
	return nil
}

// Plaintext, or TLS as the environment says; see the README beside this folder.
func transportCredentials() (credentials.TransportCredentials, error) {
	roots, chain := os.Getenv("DIGITS_ROOT_CERTIFICATES"), os.Getenv("DIGITS_CERTIFICATE_CHAIN")
	if os.Getenv("DIGITS_TLS") == "" && roots == "" && chain == "" {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if roots != "" {
		pem, err := os.ReadFile(roots)
		if err != nil {
			return nil, fmt.Errorf("cannot read the authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", roots)
		}
	}
	if chain != "" {
		own, err := tls.LoadX509KeyPair(chain, os.Getenv("DIGITS_PRIVATE_KEY"))
		if err != nil {
			return nil, fmt.Errorf("cannot use the certificate of this caller: %w", err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return credentials.NewTLS(config), nil
}

func withToken(ctx context.Context, encrypted bool) (context.Context, error) {
	file := os.Getenv("DIGITS_TOKEN_FILE")
	if file == "" {
		return ctx, nil
	}
	if !encrypted {
		return nil, errors.New("a token is sent over TLS only: set DIGITS_ROOT_CERTIFICATES")
	}
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the token: %w", err)
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token))), nil
}
