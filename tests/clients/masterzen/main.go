// Logs on by masterzen/winrm and asks for a shell:
// main HOST PORT http|https basic|ntlm|certificate USER PASSWORD CA CERTIFICATE KEY
package main

import (
	"fmt"
	"io/ioutil"
	"os"
	"strconv"
	"time"

	"github.com/masterzen/winrm"
)

func main() {
	words := os.Args[1:]
	port, err := strconv.Atoi(words[1])
	if err != nil {
		panic(err)
	}
	read := func(path string) []byte {
		if path == "" {
			return nil
		}
		text, err := ioutil.ReadFile(path)
		if err != nil {
			panic(err)
		}
		return text
	}
	endpoint := winrm.NewEndpoint(
		words[0], port, words[2] == "https", false, read(words[6]), read(words[7]), read(words[8]), 30*time.Second)
	parameters := *winrm.DefaultParameters
	switch words[3] {
	case "ntlm":
		parameters.TransportDecorator = func() winrm.Transporter { return &winrm.ClientNTLM{} }
	case "certificate":
		parameters.TransportDecorator = func() winrm.Transporter { return &winrm.ClientAuthRequest{} }
	}
	client, err := winrm.NewClientWithParameters(endpoint, words[4], words[5], &parameters)
	if err != nil {
		panic(err)
	}
	_, err = client.CreateShell()
	fmt.Println(err)
}
