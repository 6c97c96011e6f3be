// A DNS server that knows nothing itself: it asks others, and remembers what they say for as long as that is good. Ends on SIGTERM and SIGINT, and says then what it has done.
import AsyncUV
import ExampleSupport

let options = Options(
    "DNSForwarder --port PORT [--host ADDRESS] --upstream ADDRESS:PORT [--upstream ADDRESS:PORT …] [--cache ENTRIES] [--timeout MS] [--limit QUERIES]")
let host = options.text("--host") ?? "127.0.0.1", port = options.port()
let upstreams = options.addresses("--upstream")
if upstreams.isEmpty { options.refuse("--upstream is missing") }
let capacity = options.count("--cache", default: 10_000), limit = options.count("--limit", default: 500)
let timeout = Duration.milliseconds(options.count("--timeout", default: 1_500))

options.run {
    let (socket, listener) = try bind(host: host, port: port)
    defer {
        socket.close()
        listener.close()
    }
    try options.say("listening on \(socket.address)")
    let forwarder = try Forwarder(upstreams, capacity: capacity, timeout: timeout, limit: limit)
    do {
        try await forwarder.serve(socket, listener)
    } catch {
        try options.say("\(forwarder.counters(socket))")
        throw error
    }
}
