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

func usage() -> Never {
    FileHandle.standardError.write(Data("usage: EchoServer --port PORT [--host ADDRESS]\n".utf8))
    exit(64)
}

var options = CommandLine.arguments.dropFirst(), host = "127.0.0.1", port: Int?
while let option = options.popFirst() {
    switch (option, options.popFirst()) {
    case ("--port", let value?): port = UInt16(value).map { Int($0) }
    case ("--host", let value?): host = value
    default: usage()
    }
}
guard let port else { usage() }
try EventLoop.run(cancellingOn: [.interrupt, .terminate]) { [host] in
    let listener = try TCPListener.listen(host: host, port: port)
    FileHandle.standardOutput.write(Data("listening on \(listener.address)\n".utf8))
    do {
        while true {
            let stream = try await listener.accept()
            LoopTask(name: "echo \(stream.peerAddress)") { try await echo(stream) }
        }
    } catch is CancelledError { listener.close() }
}
