// Passes connections on to the backend that has the fewest: TCPProxy --listen ADDRESS:PORT --to ADDRESS:PORT [--to …] [--clients LIMIT] [--timeout SECONDS].
import AsyncUV
import ExampleSupport

let usage = "TCPProxy --listen ADDRESS:PORT --to ADDRESS:PORT [--to ADDRESS:PORT …] [--clients LIMIT] [--timeout SECONDS]"
let options = Options(usage)
let places = options.addresses("--listen"), backends = options.addresses("--to")
if places.isEmpty { options.refuse("--listen is missing") }
if backends.isEmpty { options.refuse("--to is missing") }
let clients = options.count("--clients", default: 10_000), timeout = Duration.seconds(options.count("--timeout", default: 5))

/// To the first backend that answers.
func connect(_ balancer: LoopBound<Balancer>, _ now: LoopInstant) async throws -> (TCPStream, Int) {
    var reasons: [any Error] = []
    for index in try balancer.withValue({ $0.candidates(at: now) }) {
        let address = try balancer.withValue { $0.backends[index].address }
        do {
            // Counted at once: connections that come meanwhile go elsewhere.
            try balancer.withValue { $0.connected(index) }
            return (try await withTimeout(timeout) { try await TCPStream.connect(to: address) }, index)
        } catch {
            try balancer.withValue {
                $0.ended(index)
                if !(error is CancelledError) { $0.failed(index, at: now) }
            }
            if error is CancelledError { throw error }
            reasons.append(error)
        }
    }
    throw TaskGroupError(errors: reasons)
}

func serve(_ client: TCPStream, _ balancer: LoopBound<Balancer>) async throws {
    let (server, index) = try await connect(balancer, client.loop.now)
    defer { try? balancer.withValue { $0.ended(index) } }
    do {
        for stream in [client, server] { try stream.setKeepAlive() }
        try await relay(client, server)
        try await server.close()
    } catch {
        server.abort()
        throw error
    }
}

options.run {
    let balancer = try LoopBound(Balancer(backends))
    let server = try TCPServer.listen(at: places, name: "proxy", maximumConnections: clients) { client in try await serve(client, balancer) }
    for address in server.addresses { try options.say("listening on \(address)") }
    try await server.run()
}
