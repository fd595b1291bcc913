// Logs on by masterzen/winrm, asks for a shell and prints the answer:
// main HOST PORT http|https basic|ntlm|certificate USER PASSWORD CA CERTIFICATE KEY
package main

import (
	"fmt"
	"io/ioutil"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/masterzen/winrm"
)

func main() {
	words := os.Args[1:]
	port, err := strconv.Atoi(words[1])
	check(err)
	endpoint := winrm.NewEndpoint(
		words[0], port, words[2] == "https", false, read(words[6]), read(words[7]), read(words[8]), 30*time.Second)
	// Its CreateShell takes a fault for a shell: its transport shows what came.
	var transport winrm.Transporter
	switch words[3] {
	case "basic":
		transport = winrm.NewClientWithDial(net.Dial)
	case "ntlm":
		transport = &winrm.ClientNTLM{}
	case "certificate":
		transport = &winrm.ClientAuthRequest{}
	}
	check(transport.Transport(endpoint))
	client, err := winrm.NewClient(endpoint, words[4], words[5])
	check(err)
	url := fmt.Sprintf("%s://%s:%d/wsman", words[2], words[0], port)
	body, err := transport.Post(client, winrm.NewOpenShellRequest(url, winrm.DefaultParameters))
	fmt.Println(body, err)
}

func read(path string) []byte {
	if path == "" {
		return nil
	}
	text, err := ioutil.ReadFile(path)
	check(err)
	return text
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
