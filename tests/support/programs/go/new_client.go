package grpc

// NewClient is what gRPC has had since 1.63: Dial without a connection at once, which Dial has by default, too.
func NewClient(target string, opts ...DialOption) (*ClientConn, error) {
	return Dial(target, opts...)
}
