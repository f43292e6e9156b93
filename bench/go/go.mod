module trunkline.dev/bench

go 1.23

require (
	github.com/hashicorp/yamux v0.1.2
	github.com/xtaci/smux v1.5.56
)
