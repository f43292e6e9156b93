package main
import (
 _ "github.com/hashicorp/yamux"
 _ "github.com/xtaci/smux"
)
func main(){}
