module github.com/trunkline/trunkline/conformance/peers/smux

go 1.25.0

require (
	github.com/trunkline/trunkline/conformance/peers/scenario v0.0.0
	github.com/xtaci/smux v1.5.57
	old/smux v1.5.15
)

replace github.com/trunkline/trunkline/conformance/peers/scenario => ../scenario

// The release that AWS's agent runs, beside the newest.
replace old/smux => github.com/xtaci/smux v1.5.15
