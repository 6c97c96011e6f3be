// Lines that one client sends go to all the others: LineChat --port PORT [--host ADDRESS] [--clients LIMIT] [--idle SECONDS]. Try it with `socat - TCP:127.0.0.1:PORT`.
import AsyncUV
import ExampleSupport

let options = Options("LineChat --port PORT [--host ADDRESS] [--clients LIMIT] [--idle SECONDS]")
let host = options.text("--host") ?? "127.0.0.1", port = options.port()
let clients = options.count("--clients", default: 1_000), idle = Duration.seconds(options.count("--idle", default: 3_600))

func chat(_ stream: TCPStream, in room: LoopBound<Room>) async throws {
    try room.withValue { $0.join(stream) }
    defer { try? room.withValue { $0.leave(stream) } }
    do {
        while let line = try await withTimeout(idle, { try await stream.readLine(limit: 1_000) }) {
            if try !room.withValue({ $0.hear(line, from: stream) }) { break }
        }
    } catch is TimeoutError {
        try await stream.write("* good bye: nothing was said for \(idle)\n".utf8)
    } catch let error as LoopError where error.code == .limitExceeded {
        try await stream.write("* good bye: a line has at most 1000 bytes\n".utf8)
    } catch let error as LoopError where error.code == .closed {
        // Put out by the room.
    }
}

options.run {
    let room = try LoopBound(Room())
    let server = try await TCPServer.listen(host: host, port: port, name: "chat", maximumConnections: clients, closeTimeout: .seconds(5)) { stream in
        try await chat(stream, in: room)
    }
    for address in server.addresses { try options.say("listening on \(address)") }
    try await server.run()
}
