module github.com/trunkline/trunkline/conformance/peers/yamux

go 1.25.0

require (
	github.com/hashicorp/yamux v0.1.2
	github.com/trunkline/trunkline/conformance/peers/scenario v0.0.0
)

replace github.com/trunkline/trunkline/conformance/peers/scenario => ../scenario
