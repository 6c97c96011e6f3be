import AsyncUV

/// Something to be measured, or to be a server for others that measure.
struct Workload: Sendable {
    /// A number on the command line. What has no usual value must be given.
    struct Argument: Sendable {
        let name: String
        var usual: Int?
        var range = 1...1_000_000_000
    }

    enum Body: Sendable {
        case onLoop(@Sendable ([Int]) async throws -> Measurement)
        /// That makes a loop itself.
        case alone(@Sendable ([Int]) throws -> Measurement)
        /// Until SIGTERM or SIGINT.
        case server(@Sendable ([Int]) async throws -> Void)
    }

    let name: String
    let arguments: [Argument]
    /// What one operation is.
    let about: String
    let body: Body

    private init(_ name: String, _ arguments: [Argument], _ about: String, _ body: Body) {
        self.name = name
        self.arguments = arguments
        self.about = about
        self.body = body
    }

    var usage: String {
        ([name] + arguments.map { argument in argument.usual.map { "[\(argument.name)=\($0)]" } ?? argument.name }).joined(separator: " ")
    }

    func run(_ numbers: [Int]) throws {
        switch body {
        case .onLoop(let run): print(try EventLoop.run { try await run(numbers) }.line(name))
        case .alone(let run): print(try run(numbers).line(name))
        case .server(let run): try EventLoop.run(cancellingOn: [.interrupt, .terminate]) { try await run(numbers) }
        }
    }

    /// 0 is any that is free.
    private static let port = Argument(name: "PORT", range: 0...65_535)
    private static func many(_ usual: Int, _ name: String = "N") -> Argument { Argument(name: name, usual: usual) }

    /// Those that other programs have too, with the same names and numbers.
    static let shared: [Workload] = [
        Workload("echo", [port], "a server that sends back what it gets, without copies of its own", .server { try await echo(port: $0[0]) }),
        Workload("echo-streams", [port], "the same, by arrays", .server { try await echoStreams(port: $0[0]) }),
        Workload("spawn", [many(1_000_000), many(1000, "BATCH")], "a task that does nothing, created and awaited", .onLoop { try await spawn($0[0], batch: $0[1]) }),
        Workload("yield2", [many(1_000_000)], "a yield, of two tasks", .onLoop { try await yields(tasks: 2, each: max(1, $0[0] / 2)) }),
        Workload("yieldmany", [many(1000, "TASKS"), many(1000, "EACH")], "a yield, of many tasks", .onLoop { try await yields(tasks: $0[0], each: $0[1]) }),
        Workload("sleep", [many(100_000), many(1000, "MS")], "a task that sleeps from 0 to MS milliseconds", .onLoop { try await sleeps($0[0], upTo: $0[1]) }),
        Workload("cancel", [many(100_000)], "a task that sleeps, cancelled and awaited; and its memory", .onLoop { try await cancels($0[0]) }),
        Workload("queue", [many(1_000_000), many(64, "CAPACITY")], "an item through a bounded queue", .onLoop { try await queue($0[0], capacity: $0[1]) }),
        Workload("wake", [many(1_000_000)], "a callback posted by another thread", .onLoop { try await wakes($0[0]) }),
        Workload("wakert", [many(20_000)], "the same, one at a time with a reply", .onLoop { try await wakesWithReply($0[0]) }),
    ]

    static let own: [Workload] = [
        Workload(
            "spawn-bare", [many(1_000_000), many(1000, "BATCH")], "spawn, with the standard library's Task on the same loop",
            .onLoop { try await spawnBare($0[0], batch: $0[1]) }),
        Workload("group", [many(1_000_000), many(1000, "SIZE")], "a task that does nothing, in a group of SIZE", .onLoop { try await groups($0[0], of: $0[1]) }),
        Workload(
            "gather", [many(1_000_000), many(1000, "SIZE")], "a task that does nothing, gathered with SIZE others", .onLoop { try await gathers($0[0], of: $0[1]) }),
        Workload("timeout", [many(250_000)], "a yield under a timeout of an hour", .onLoop { try await timeouts($0[0]) }),
        Workload("lock", [many(1_000_000), many(2, "TASKS")], "a lock handed to the next task", .onLoop { try await lock($0[0], tasks: $0[1]) }),
        Workload("call", [many(100_000)], "a task on another thread's loop, started and awaited", .onLoop { try await calls($0[0]) }),
        Workload(
            "accept", [many(20_000), many(500, "AT_ONCE")], "a connection made, accepted, answered and broken off", .onLoop { try await accepts($0[0], atOnce: $0[1]) }),
        Workload(
            "broadcast", [many(100, "ROUNDS"), many(1000, "CONNECTIONS")], "a message of 256 bytes to one of CONNECTIONS",
            .onLoop { try await broadcast($0[0], connections: $0[1]) }),
        Workload("lines", [many(1_000_000), many(80, "BYTES")], "a line read from a connection", .onLoop { try await lines($0[0], bytes: $0[1]) }),
        Workload(
            "batches", [many(1_000_000), many(1000, "BATCH")], "a sleep started and cancelled; memory must stand still",
            .onLoop { try await batches($0[0], batch: $0[1]) }),
        Workload(
            "hold", [port, Argument(name: "PID"), many(5000)], "a connection to an echo server PID that then does nothing; the server's memory",
            .onLoop { try await hold(port: $0[0], process: $0[1], $0[2]) }),
        Workload("stalled", [many(1000, "PEERS")], "an answer of a server that PEERS others read nothing from", .onLoop { try await stalled($0[0]) }),
        Workload("cancel-io", [many(10_000)], "a read, accept, connect or get cancelled at random; nothing may be lost", .onLoop { try await cancelIO($0[0]) }),
        Workload("posts", [many(1_000_000)], "a post of eight threads to a loop that closes; each must run or be refused", .alone { try posts($0[0]) }),
    ]
}
