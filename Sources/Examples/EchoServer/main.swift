// A server that sends back what it gets, with one LoopTask a connection: EchoServer --port PORT [--host ADDRESS]. Ends on SIGTERM and SIGINT.
import AsyncUV
import Foundation

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

func fail(_ message: String, status: Int32) -> Never {
    // There is nobody left to tell if that fails.
    try? FileHandle.standardError.write(contentsOf: Data("EchoServer: \(message)\n".utf8))
    exit(status)
}

let usage = "usage: EchoServer --port PORT [--host ADDRESS]"
var options = CommandLine.arguments.dropFirst(), host = "127.0.0.1", port: Int?
while let option = options.popFirst() {
    guard option == "--port" || option == "--host" else { fail("unknown option '\(option)'; \(usage)", status: 64) }
    guard let value = options.popFirst() else { fail("\(option) needs a value; \(usage)", status: 64) }
    if option == "--host" { host = value; continue }
    guard let number = UInt16(value) else { fail("--port \(value): a port is a number from 0 to 65535; \(usage)", status: 64) }
    port = Int(number)
}
guard let port else { fail("--port is missing; \(usage)", status: 64) }
do {
    try EventLoop.run(cancellingOn: [.interrupt, .terminate]) { [host] in
        let listener = try TCPListener.listen(host: host, port: port)
        defer { listener.close() }
        try FileHandle.standardOutput.write(contentsOf: Data("listening on \(listener.address)\n".utf8))
        do {
            while true {
                let stream = try await listener.accept()
                LoopTask(name: "echo \(stream.peerAddress)") { try await echo(stream) }
            }
        } catch is CancelledError {}
    }
} catch { fail("\(error)", status: 1) }
