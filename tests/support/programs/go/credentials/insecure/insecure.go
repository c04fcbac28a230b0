// Package insecure is what gRPC has had since 1.34: no security at all.
package insecure

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
)

type plaintext struct{}

// NewCredentials leaves connections as they are.
func NewCredentials() credentials.TransportCredentials {
	return plaintext{}
}

func (plaintext) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, nil, nil
}

func (plaintext) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, nil, nil
}

func (plaintext) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "insecure"}
}

func (plaintext) Clone() credentials.TransportCredentials {
	return plaintext{}
}

func (plaintext) OverrideServerName(string) error {
	return nil
}
