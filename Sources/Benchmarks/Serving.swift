import AsyncUV
import Foundation

/// An echo server that copies nothing by itself: it looks at what has come where it lies, and sends that.
func echo(port: Int) async throws {
    try await serve(port) { stream in
        while let sent = try await stream.withBytes({ bytes in
            let part = bytes.extracting(first: EventLoop.defaultHighWaterMark)
            return try stream.tryWrite(part) ? part.count : 0
        }) {
            // The peer reads more slowly than it writes. What was not sent is still in the stream.
            if sent == 0 { try await stream.flush() }
        }
    }
}

/// An echo server as most would write it: by arrays.
func echoStreams(port: Int) async throws {
    try await serve(port) { stream in
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }
}

/// Until it is cancelled.
private func serve(_ port: Int, _ handler: @escaping TCPServer.Handler) async throws {
    let server = try await TCPServer.listen(host: "127.0.0.1", port: port, name: "echo") { stream in
        // A peer that breaks off ends its connection, and is nothing to report.
        do { try await handler(stream) } catch let error as LoopError where error.code == .connectionLost {}
    }
    try FileHandle.standardOutput.write(contentsOf: Data("listening on \(server.addresses[0])\n".utf8))
    do { try await server.run() } catch is CancelledError {}
}
