// A program for the tests of TCP that need a process of their own: one that runs out of descriptors, or whose descriptors can be counted.
import AsyncUV
import Foundation

func say(_ text: String) {
    FileHandle.standardOutput.write(Data((text + "\n").utf8))
}

/// Takes all the descriptors that are left, until they are released.
final class Hoard: @unchecked Sendable {
    // Sendable: used on the loop's thread only.
    private var taken: [Int32] = []

    func fill() {
        while true {
            let number = dup(1)
            if number < 0 { break }
            taken.append(number)
        }
    }

    func release() {
        for number in taken { close(number) }
        taken = []
    }
}

final class Counter: @unchecked Sendable {
    // Sendable: used on the loop's thread only.
    var count = 0
}

/// A timer every 10 ms, and how late it was.
final class Ticker: @unchecked Sendable {
    // Sendable: used on the loop's thread only.
    private var late: [Duration] = []
    private var task: LoopTask<Void>?

    init() {
        task = LoopTask(name: "ticker") { [self] in
            while true {
                let due = ContinuousClock.now + .milliseconds(10)
                try await LoopTask.sleep(for: .milliseconds(10))
                late.append(ContinuousClock.now - due)
            }
        }
    }

    /// Stops it; the median in milliseconds, which a busy machine does not change as much as it does the worst; very much if there were few.
    func lateness() async -> Int {
        task?.cancel()
        _ = try? await task?.value
        late.sort()
        return late.count < 10 ? 9999 : Int(late[late.count / 2] / .milliseconds(1))
    }
}

func openDescriptors() -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? -1
}

func wait(until condition: () -> Bool) async throws {
    try await withTimeout(.seconds(30)) {
        while !condition() { try await LoopTask.sleep(for: .milliseconds(20)) }
    }
}

func echo(_ stream: TCPStream) async throws {
    while let bytes = try await stream.read() { try await stream.write(bytes) }
    try await stream.close()
}

/// Two episodes without a free descriptor, the first one begun before the listener accepts, or after: so many clients are served after it, and one after the second.
func exhaust(_ listener: TCPListener, isFullBefore: Bool, clients: Int) async throws {
    let hoard = Hoard()
    let served = Counter()
    if isFullBefore { hoard.fill() }
    let server = LoopTask(name: "server") {
        while true {
            let stream = try await listener.accept()
            LoopTask(name: "echo") {
                try await echo(stream)
                served.count += 1
            }
        }
    }
    if !isFullBefore {
        try await LoopTask.yield()
        try await LoopTask.yield()
        hoard.fill()
    }
    for episode in 1...2 {
        say("full \(listener.address.port)")
        let before = listener.acceptFailures
        try await wait { listener.acceptFailures > before }
        let processor = clock(), start = ContinuousClock.now
        let ticker = Ticker()
        // 100 + 200 + 400 ms.
        try await wait { listener.acceptFailures >= before + 4 }
        let wall = (ContinuousClock.now - start) / Duration.microseconds(1)
        say("timers \(episode): half of them were late by at most this many ms: \(await ticker.lateness())")
        say("episode \(episode): \(Int(Double(clock() - processor) / wall * 100)) % of the processor")
        hoard.release()
        try await wait { served.count == (episode == 1 ? clients : clients + 1) }
        hoard.fill()
    }
    server.cancel()
    _ = try? await server.value
    hoard.release()
}

/// Without a client there is nothing to fail, whether a descriptor is free or not.
func idle(_ listener: TCPListener) async throws {
    let hoard = Hoard()
    hoard.fill()
    let accepting = LoopTask { try await listener.accept() }
    for _ in 0..<10 { try await LoopTask.yield() }
    say("idle: \(listener.acceptFailures) failures")
    hoard.release()
    let client = try await TCPStream.connect(to: listener.address)
    try await withTimeout(.seconds(10)) { try await accepting.value }.abort()
    client.abort()
    say("served")
}

/// The acceptor that is woken when the listener tries again is cancelled at that very moment: the other one must take the connection.
func handOver(_ listener: TCPListener) async throws {
    let loop = listener.loop
    let hoard = Hoard()
    let client = try await TCPStream.connect(to: listener.address)
    hoard.fill()
    let first = LoopTask(name: "first") { try await listener.accept() }
    let second = LoopTask(name: "second") { try await listener.accept() }
    try await LoopTask.yield()
    try await LoopTask.yield()
    try loop.callLater(.milliseconds(100)) {
        hoard.release()
        first.cancel()
    }
    // The loop stands still, so that both timers are due in the same turn.
    usleep(150_000)
    do {
        try await first.value.abort()
        say("first: served")
    } catch is CancelledError {
        say("first: cancelled")
    }
    try await withTimeout(.seconds(3)) { try await second.value }.abort()
    say("second: served, \(listener.acceptFailures) failures")
    client.abort()
}

/// What attempts to connect leave behind.
func connects(_ listener: TCPListener) async throws {
    let gone = try TCPListener.listen(host: "127.0.0.1", port: 0)
    let nowhere = gone.address
    gone.close()
    let full = try TCPListener.listen(host: "127.0.0.1", port: 0, backlog: 0)
    var fillers: [TCPStream] = []
    while let filler = try? await withTimeout(.milliseconds(200), { try await TCPStream.connect(to: full.address) }) { fillers.append(filler) }
    let before = openDescriptors()
    for _ in 0..<50 {
        try await TCPStream.connect(to: listener.address).close()
        try await listener.accept().abort()
        do {
            try await TCPStream.connect(to: nowhere).abort()
        } catch let error as LoopError where error.systemCode == ECONNREFUSED {}
        let hanging = LoopTask { try await TCPStream.connect(to: full.address) }
        for _ in 0..<3 { try await LoopTask.yield() }
        hanging.cancel()
        do { try await hanging.value.abort() } catch is CancelledError {}
        // Several attempts at a time.
        let racing = LoopTask {
            var options = TCPStream.ConnectOptions()
            options.attemptDelay = .zero
            return try await TCPStream.connect(host: "localhost", port: full.address.port, options: options)
        }
        for _ in 0..<3 { try await LoopTask.yield() }
        racing.cancel()
        do { try await racing.value.abort() } catch is CancelledError {}
    }
    say("connects: \(openDescriptors() - before) descriptors left")
    for filler in fillers { filler.abort() }
    full.close()
}

let mode = CommandLine.arguments.dropFirst().first ?? ""
do {
    try EventLoop.run {
        guard let loop = EventLoop.current else { return }
        loop.setReportHandler { say("report: \($0)") }
        let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
        defer { listener.close() }
        switch mode {
        case "before", "after": try await exhaust(listener, isFullBefore: mode == "before", clients: 100)
        case "idle": try await idle(listener)
        case "handover": try await handOver(listener)
        default: try await connects(listener)
        }
    }
} catch {
    say("failed: \(error)")
    exit(1)
}
