module github.com/trunkline/trunkline/conformance/peers/scenario

go 1.25.0
