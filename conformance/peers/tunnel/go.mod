module github.com/trunkline/trunkline/conformance/peers/tunnel

go 1.25.0

require (
	github.com/creack/pty v1.1.24
	github.com/hashicorp/yamux v0.1.2
	nhooyr.io/websocket v1.8.17
)
