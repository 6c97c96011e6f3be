// A server that sends back what it gets, with one LoopTask a connection: EchoServer --port PORT [--host ADDRESS]. Ends on SIGTERM and SIGINT.
import AsyncUV
import ExampleSupport

func echo(_ stream: TCPStream) async throws {
    do {
        while let bytes = try await stream.read() { try await stream.write(bytes) }
        try await stream.close()
    } catch {
        stream.abort()
        // A client that went away is none of the server's errors.
        if (error as? LoopError)?.code != .connectionLost { throw error }
    }
}

let options = Options("EchoServer --port PORT [--host ADDRESS]")
let host = options.text("--host") ?? "127.0.0.1", port = options.port()
options.run {
    let listener = try TCPListener.listen(host: host, port: port)
    defer { listener.close() }
    try options.say("listening on \(listener.address)")
    while true {
        let stream = try await listener.accept()
        LoopTask(name: "echo \(stream.peerAddress)") { try await echo(stream) }
    }
}
