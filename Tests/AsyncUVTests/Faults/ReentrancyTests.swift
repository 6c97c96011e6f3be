import Testing
import UVCore
@testable import AsyncUV

/// A world of streams, listeners, timers, futures and tasks, in whose callbacks anything may happen to any of them: drawn from a seed.
private final class Script: @unchecked Sendable {
    // Sendable: used on the loop's thread only.
    let loop: EventLoop
    private var random: Seeded
    private(set) var budget: Int
    private(set) var surprises: [String] = []
    private var streams: [TCPStream] = []
    private var listeners: [TCPListener] = []
    private var timers: [TimerHandle] = []
    private var handles: [Handle] = []
    private var futures: [Future<Int>] = []
    private var tasks: [LoopTask<Void>] = []

    init(_ loop: EventLoop, seed: UInt64, budget: Int) {
        self.loop = loop
        random = Seeded(seed)
        self.budget = budget
    }

    private func one<Thing>(of things: [Thing]) -> Thing? { things.randomElement(using: &random) }

    /// What a callback does: nothing, or up to three things; `own` is what it is a callback of.
    func act(_ own: AnyObject? = nil) {
        for _ in 0..<Int.random(in: 0...3, using: &random) where budget > 0 { step(own) }
    }

    func step(_ own: AnyObject?) {
        budget -= 1
        do {
            try tryStep(own)
        } catch let error as LoopError where [.closed, .busy, .connectionLost, .invalidState].contains(error.code) {
            // Of what somebody else has ended.
        } catch {
            surprises.append("\(error)")
        }
    }

    private func tryStep(_ own: AnyObject?) throws {
        switch Int.random(in: 0..<24, using: &random) {
        case 0, 1:
            switch own {
            case let stream as TCPStream: stream.abort()
            case let listener as TCPListener: listener.close()
            case let handle as Handle: handle.cancel()
            case let task as AnyLoopTask: task.cancel()
            case let future as AnyFuture: future.cancel()
            default: break
            }
        case 2: one(of: streams)?.abort()
        case 3: if Bool.random(using: &random) { one(of: listeners)?.close() }
        case 4: one(of: timers)?.cancel()
        case 5: one(of: handles)?.cancel()
        case 6, 7: one(of: tasks)?.cancel()
        case 8: one(of: futures)?.cancel()
        case 9: loop.stop()
        case 10, 11:
            let delay = Int.random(in: 0...2, using: &random)
            timers.append(try loop.callLater(.milliseconds(delay)) { [unowned self] in act(one(of: timers)) })
        case 12: handles.append(try loop.callSoon { [unowned self] in act(one(of: handles)) })
        case 13: handles.append(try loop.callSoonThreadsafe { [unowned self] in act(one(of: handles)) })
        case 14:
            let future = try Future<Int>(on: loop)
            future.whenDone { [unowned self] future in act(future) }
            futures.append(future)
        case 15: try one(of: futures)?.setResult(1)
        case 16: listen()
        case 17: connect()
        case 18: _ = try one(of: streams)?.tryWrite([UInt8](repeating: 1, count: Int.random(in: 0...70_000, using: &random)).span)
        case 19: try one(of: streams)?.closeWrite()
        case 20: letGo()
        case 21: if let stream = one(of: streams) { read(stream) }
        case 22: if let stream = one(of: streams) { write(stream) }
        default: if let stream = one(of: streams) { end(stream) }
        }
    }

    private func letGo() {
        switch Int.random(in: 0..<5, using: &random) {
        case 0 where !streams.isEmpty: streams.remove(at: Int.random(in: streams.indices, using: &random))
        case 1 where !listeners.isEmpty: listeners.remove(at: Int.random(in: listeners.indices, using: &random))
        case 2 where !timers.isEmpty: timers.remove(at: Int.random(in: timers.indices, using: &random))
        case 3 where !futures.isEmpty: futures.remove(at: Int.random(in: futures.indices, using: &random))
        case 4 where !tasks.isEmpty: tasks.remove(at: Int.random(in: tasks.indices, using: &random))
        default: break
        }
    }

    private func start(_ body: @escaping @Sendable () async throws -> Void) {
        tasks.removeAll { $0.isDone }
        tasks.append(
            LoopTask(on: loop, eager: Bool.random(using: &random)) { [self] in
                do {
                    try await body()
                } catch let error as LoopError where [.closed, .busy, .connectionLost, .unexpectedEnd, .system].contains(error.code) {
                    act(LoopTask.current)
                } catch is CancelledError {
                    act(LoopTask.current)
                } catch {
                    surprises.append("\(error)")
                }
            })
    }

    private func listen() {
        guard listeners.count < 4, let listener = try? TCPListener.listen(host: "127.0.0.1", port: 0, on: loop) else { return }
        listeners.append(listener)
        start { [self] in
            while true {
                let stream = try await listener.accept()
                streams.append(stream)
                act(Bool.random(using: &random) ? listener : stream)
            }
        }
    }

    private func connect() {
        guard streams.count < 20, let address = one(of: listeners)?.address else { return listen() }
        start { [self] in
            let stream = try await TCPStream.connect(to: address, on: loop)
            streams.append(stream)
            act(stream)
        }
    }

    private func read(_ stream: TCPStream) {
        let kind = Int.random(in: 0..<3, using: &random)
        start { [self] in
            while true {
                switch kind {
                case 0: if try await stream.read() == nil { return act(stream) }
                case 1: _ = try await stream.read(exactly: 3)
                default:
                    let used = try await stream.withBytes { bytes in
                        act(stream)
                        return bytes.count / 2 + 1
                    }
                    if used == nil { return act(stream) }
                }
                act(stream)
            }
        }
    }

    private func write(_ stream: TCPStream) {
        let count = one(of: [1, 1000, 65_536, 1_000_000]) ?? 1
        start { [self] in
            try await stream.write([UInt8](repeating: 2, count: count))
            act(stream)
            try await stream.flush()
            act(stream)
        }
    }

    private func end(_ stream: TCPStream) {
        let isClose = Bool.random(using: &random)
        start { [self] in
            if isClose { try await stream.close() } else { try await stream.waitClosed() }
            act(stream)
        }
    }

    /// Ends whatever there is.
    func endAll() async throws {
        budget = 0
        for listener in listeners { listener.close() }
        for stream in streams { stream.abort() }
        for timer in timers { timer.cancel() }
        for task in loop.unfinishedTasks where task !== LoopTask.current { task.cancel() }
        for future in futures { future.cancel() }
        try await until { loop.unfinishedTasks.count == 1 }
        listeners = []
        streams = []
        timers = []
        handles = []
        futures = []
        tasks = []
        // The chunk that libuv writes from comes back with the close callback.
        // Timers that were let go of are still due.
        while loop.statistics.armedTimers > 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
        try await until { loop.chunks.taken == 0 && loop.uv?.openHandles()["tcp"] == nil && loop.uv?.openHandles()["poll"] == nil }
    }
}

@Suite struct ReentrancyTests {
    /// 400 scripts, each of 300 steps that happen in each other's callbacks.
    @Test(arguments: 0..<20) func fault24_anythingMayHappenInsideAnyCallback(batch: UInt64) async throws {
        for seed in batch * 20..<batch * 20 + 20 {
            try await onOwnThread {
                let loop = try EventLoop()
                // Streams and listeners that were let go of.
                loop.setReportHandler { report in
                    if !report.message.contains("never closed") { Issue.record("seed \(seed): \(report)") }
                }
                let script = Script(loop, seed: seed, budget: 300)
                let driver = LoopTask(on: loop) {
                    while script.budget > 0 {
                        script.step(nil)
                        try await LoopTask.yield()
                    }
                    try await script.endAll()
                }
                while !driver.isDone {
                    do { try loop.runUntilComplete(driver) } catch let error as LoopError where error.code == .stopped {}
                }
                #expect(script.surprises.isEmpty, "seed \(seed): \(script.surprises)")
                #expect(loop.outstanding == 0, "seed \(seed)")
                try loop.runUntilTidy()
                let handles = try loop.close()
                #expect(handles.isEmpty, "seed \(seed): \(handles)")
            }
        }
    }
}
