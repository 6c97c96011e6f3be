import Testing
@testable import AsyncUV

/// Sends back what comes.
@Sendable func echo(_ stream: TCPStream) async throws {
    while let bytes = try await stream.read() { try await stream.write(bytes) }
}

/// A server on the loopback.
func serve(
    name: String = "connection", maximumConnections: Int = .max, closeTimeout: Duration = .seconds(30), handler: @escaping TCPServer.Handler = { try await echo($0) }
) throws -> TCPServer {
    try TCPServer.listen(
        at: [.loopback()], name: name, maximumConnections: maximumConnections, closeTimeout: closeTimeout, handler: handler)
}

extension StreamServer where Listener == TCPListener {
    func connect() async throws -> TCPStream { try await TCPStream.connect(to: addresses[0]) }

    /// A connection that is being served.
    func client() async throws -> TCPStream {
        let before = statistics.accepted
        let stream = try await connect()
        try await until { statistics.accepted > before }
        return stream
    }
}

/// What the loop has been reported, in place of a failed test.
func reports() throws -> Log {
    let log = Log()
    try EventLoop.requireCurrent("reports").setReportHandler { log("\($0)") }
    return log
}

@Suite struct StreamServerTests {
    @Test func eachConnectionIsServedByATaskNamedAfterItsPeer() async throws {
        try await withLoop(clock: .system) {
            let names = Log()
            let server = try serve(name: "echo") { stream in
                names(LoopTask.current?.name ?? "")
                try await echo(stream)
            }
            var expected: [String] = []
            for text in ["first", "second"] {
                let client = try await server.connect()
                expected.append("echo \(try client.localAddress())")
                try await client.write(text.utf8)
                #expect(try await client.read() == Array(text.utf8))
                try client.closeWrite()
                // The handler has returned, and its stream is closed.
                #expect(try await client.read() == nil)
                try await client.close()
            }
            #expect(names.entries == expected)
            server.close()
            try await server.waitClosed()
            #expect(server.statistics.accepted == 2 && server.statistics.peak == 1 && server.statistics.current == 0)
            #expect(server.statistics.failed == 0 && server.statistics.lost == 0)
        }
    }

    @Test func entry116_aHandlerThatFailsHasItsStreamAbortedAndIsReportedOnce() async throws {
        try await withLoop(clock: .system) {
            let log = try reports()
            let server = try serve(name: "bad") { stream in
                _ = try await stream.read()
                throw Boom()
            }
            let client = try await server.connect()
            try await client.write("x".utf8)
            await expectCode(.connectionLost) { try await client.read() }
            client.abort()
            try await until { server.statistics.current == 0 }
            server.close()
            try await server.waitClosed()
            #expect(log.entries.count == 1 && log.entries.first?.contains("[task bad 127.0.0.1:") == true, "\(log.entries)")
            #expect(log.entries.first?.contains("boom") == true)
            #expect(server.statistics.failed == 1)
        }
    }

    @Test func aPeerThatIsGoneIsNoError() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            let inGroup = try serve { stream in
                try await withLoopTaskGroup { group in
                    try group.addTask { try await echo(stream) }
                }
            }
            for server in [server, inGroup] {
                let client = try await server.client()
                client.abort()
                try await until { server.statistics.current == 0 }
                server.close()
                try await server.waitClosed()
                #expect(server.statistics.lost == 1 && server.statistics.failed == 0)
            }
        }
    }

    @Test func entry116_aHandlerThatIsCancelledHasItsStreamAbortedAndIsNotReported() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            let client = try await server.client()
            server.cancelHandlers()
            await expectCode(.connectionLost) { try await client.read() }
            client.abort()
            server.close()
            try await server.waitClosed()
            #expect(server.statistics.failed == 0 && server.statistics.lost == 0)
        }
    }

    @Test func aHandlerThatIsCancelledBeforeItsFirstStepHasItsStreamAborted() async throws {
        try await withLoop(clock: .system) {
            let listener = try Arrivals()
            let hasRun = Shared(false)
            let server = try StreamServer([listener]) { _ in hasRun.value = true }
            let (near, far) = try await connectedPair()
            listener.onAccept = { [unowned server] in server.loop.ready.append(.call { server.cancelHandlers() }) }
            try listener.queue.putNow(near)
            await expectCode(.connectionLost) { try await far.read() }
            #expect(!hasRun.value)
            #expect(near.isClosing && server.statistics.accepted == 1)
            far.abort()
            server.close()
            try await server.waitClosed()
        }
    }

    @Test func aPeerThatTakesNothingDelaysTheEndOfItsConnectionForTheCloseTimeoutOnly() async throws {
        try await withLoop(clock: .system) {
            let server = try serve(closeTimeout: .milliseconds(50)) { stream in
                try stream.setSendBufferSize(4096)
                try stream.setHighWaterMark(4 << 20)
                try await stream.write([UInt8](repeating: 7, count: 4 << 20))
            }
            let client = try await server.client()
            try await until { server.statistics.current == 1 }
            let began = server.loop.now
            server.close()
            try await server.waitClosed()
            #expect(began.duration(to: server.loop.now) >= .milliseconds(40))
            #expect(server.statistics.lost == 1)
            client.abort()
        }
    }

    @Test func aServerServesUnixSocketsToo() async throws {
        try await withLoop(clock: .system) {
            let address = try UnixAddress(abstract: "asyncuv-server-test")
            let server = try UnixServer.listen(at: address, name: "unix") { stream in
                while let bytes = try await stream.read() { try await stream.write(bytes) }
            }
            let client = try await UnixStream.connect(to: address)
            try await client.write("x".utf8)
            #expect(try await client.read() == Array("x".utf8))
            try await client.close()
            server.close()
            try await server.waitClosed()
            #expect(server.statistics.accepted == 1)
        }
    }

    // MARK: the limit

    @Test func fault45_connectionsAboveTheLimitWaitWithoutAnyWorkUntilOthersEnd() async throws {
        try await withLoop(clock: .system) {
            let server = try serve(maximumConnections: 2)
            var clients: [TCPStream] = []
            for _ in 0..<6 { clients.append(try await server.connect()) }
            try await until { server.statistics.current == 2 }
            for _ in 0..<20 { try await LoopTask.yield() }
            let turns = server.loop.turn
            try await LoopTask.sleep(for: .milliseconds(100))
            #expect(server.loop.turn - turns < 10)
            for client in clients {
                #expect(server.statistics.current <= 2)
                try await client.write("x".utf8)
                #expect(try await client.read() == Array("x".utf8))
                try await client.close()
            }
            try await until { server.statistics.current == 0 }
            #expect(server.statistics.accepted == 6 && server.statistics.peak == 2 && server.statistics.pauses >= 1)
            server.close()
            try await server.waitClosed()
        }
    }

    /// Both listeners have a connection for the last place in the same turn.
    @Test func theLimitHoldsForAllListenersTogetherAndNoneStarves() async throws {
        try await withLoop(clock: .system) {
            let listeners = [try Arrivals(), try Arrivals()]
            let order = Shared<[Int]>([])
            let places = try Semaphore(value: 0)
            let server = try StreamServer(listeners, maximumConnections: 1) { _ in try await places.acquire() }
            var peers: [TCPStream] = []
            for _ in 0..<5 {
                for (index, listener) in listeners.enumerated() {
                    let (near, far) = try await connectedPair()
                    peers.append(far)
                    listener.onAccept = { order.value.append(index) }
                    try listener.queue.putNow(near)
                }
            }
            for _ in 0..<10 {
                for _ in 0..<20 { try await LoopTask.yield() }
                #expect(server.statistics.current == 1)
                try places.release()
            }
            try await until { server.statistics.current == 0 }
            #expect(server.statistics.peak == 1 && server.statistics.accepted == 10)
            #expect(order.value.count == 10 && zip(order.value, order.value.dropFirst()).allSatisfy { $0 != $1 }, "\(order.value)")
            for peer in peers { peer.abort() }
            server.close()
            try await server.waitClosed()
        }
    }

    @Test func handlersSeeTheTaskLocalsOfWhoMadeTheServerAlsoAfterAPause() async throws {
        try await withLoop(clock: .system) {
            let seen = Shared<[String]>([])
            let server = try Trace.$id.withValue("made") {
                try serve(maximumConnections: 1) { stream in
                    seen.value.append(Trace.id)
                    try await echo(stream)
                }
            }
            for _ in 0..<3 { try await server.client().close() }
            try await until { server.statistics.current == 0 }
            server.close()
            try await server.waitClosed()
            #expect(seen.value == ["made", "made", "made"])
        }
    }

    @Test func aListenerThatFailsIsReportedOnceAndTriedAgain() async throws {
        try await withLoop(clock: .system) {
            let log = try reports()
            let listener = try Arrivals()
            let server = try StreamServer([listener]) { try await $0.close() }
            listener.failures = 3
            let (near, far) = try await connectedPair()
            try listener.queue.putNow(near)
            let began = server.loop.now
            #expect(try await far.read() == nil)
            // 100 + 200 + 400 ms.
            #expect(began.duration(to: server.loop.now) >= .milliseconds(650))
            #expect(log.entries.count == 1 && server.statistics.acceptFailures == 3, "\(log.entries)")
            far.abort()
            server.close()
            try await server.waitClosed()
        }
    }

    // MARK: the end

    @Test func entry116_closeLeavesTheClientsAloneAndWaitClosedEndsWhenBothHaveHappened() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            let client = try await server.client()
            let waiting = (0..<3).map { _ in LoopTask { try await server.waitClosed() } }
            server.close()
            server.close()
            for _ in 0..<10 { try await LoopTask.yield() }
            #expect(try await refusal(at: server.addresses[0]).code == .system)
            try await client.write("x".utf8)
            #expect(try await client.read() == Array("x".utf8))
            #expect(waiting.allSatisfy { !$0.isDone })
            waiting[0].cancel()
            await #expect(throws: CancelledError.self) { try await waiting[0].value }
            try await client.close()
            for task in waiting.dropFirst() { try await task.value }
            try await server.waitClosed()
        }
    }

    @Test func entry116_waitClosedEndsAlsoIfTheClientsGoFirst() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            let waiting = LoopTask { try await server.waitClosed() }
            let client = try await server.client()
            try await client.close()
            try await until { server.statistics.current == 0 }
            for _ in 0..<10 { try await LoopTask.yield() }
            #expect(!waiting.isDone)
            server.close()
            try await waiting.value
        }
    }

    @Test func entry116_closeClientsSendsWhatWasWrittenAndAbortClientsDoesNot() async throws {
        try await withLoop(clock: .system) {
            let text = [UInt8](repeating: 9, count: 500_000)
            let server = try serve { stream in
                try stream.setHighWaterMark(text.count)
                try await stream.write(text)
                // Ends with `.closed`.
                _ = try await stream.read()
            }
            let client = try await server.client()
            try await until { server.statistics.current == 1 }
            for _ in 0..<10 { try await LoopTask.yield() }
            server.closeClients()
            #expect(try await client.readAll() == text)
            try await client.close()
            try await until { server.statistics.current == 0 }
            let other = try await server.client()
            for _ in 0..<10 { try await LoopTask.yield() }
            server.abortClients()
            await expectCode(.connectionLost) { try await other.readAll() }
            other.abort()
            server.close()
            try await server.waitClosed()
            #expect(server.statistics.failed == 0)
        }
    }

    @Test func entry116_aCancelledRunDoesNotHangOnClientsThatStay() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            let running = LoopTask { try await server.run() }
            let clients = [try await server.client(), try await server.client()]
            running.cancel()
            await #expect(throws: CancelledError.self) { try await running.value }
            #expect(server.statistics.current == 0 && server.isClosed)
            for client in clients {
                await expectCode(.connectionLost) { try await client.read() }
                client.abort()
            }
        }
    }

    @Test func aCancelledRunGivesTheHandlersTheirGrace() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            let running = LoopTask { try await server.run(grace: .seconds(30)) }
            let client = try await server.client()
            running.cancel()
            for _ in 0..<20 { try await LoopTask.yield() }
            #expect(server.isClosed && !running.isDone)
            try await client.write("still".utf8)
            #expect(try await client.read() == Array("still".utf8))
            try await client.close()
            await #expect(throws: CancelledError.self) { try await running.value }
        }
    }

    @Test func everyFurtherCancelOfARunGoesOnToTheNextStep() async throws {
        try await withLoop(clock: .system) {
            let cancelled = Shared(0)
            let server = try serve { stream in
                do {
                    try await echo(stream)
                } catch is CancelledError {
                    cancelled.value += 1
                    // Refuses.
                    try await echo(stream)
                }
            }
            let running = LoopTask { try await server.run(grace: .seconds(3600), cleanup: .seconds(3600)) }
            let client = try await server.client()
            running.cancel()
            for _ in 0..<20 { try await LoopTask.yield() }
            #expect(cancelled.value == 0)
            running.cancel()
            try await until { cancelled.value == 1 }
            #expect(!client.isClosing && server.statistics.current == 1)
            running.cancel()
            await expectCode(.connectionLost) { try await client.read() }
            await #expect(throws: CancelledError.self) { try await running.value }
            client.abort()
        }
    }

    @Test func aHandlerThatRefusesEverythingIsReportedAndLeftBehind() async throws {
        try await withLoop(clock: .system) {
            let log = try reports()
            let never = try Event(),
                server = try serve { _ in
                    while true {
                        do {
                            try await never.wait()
                            return
                        } catch {}
                    }
                }
            let client = try await server.client()
            try await server.shutDown(grace: .milliseconds(10), cleanup: .milliseconds(10))
            #expect(log.entries.count == 1 && log.entries.first?.contains("has not ended") == true, "\(log.entries)")
            #expect(server.statistics.current == 1)
            client.abort()
            try never.set()
            try await server.waitClosed()
        }
    }

    @Test func entry116_aServerIsRunByOneTask() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            let running = LoopTask { try await server.run() }
            try await LoopTask.yield()
            await expectCode(.busy) { try await server.run() }
            server.close()
            try await running.value
            // Closed and idle: ends at once.
            try await server.run()
        }
    }

    @Test func aHandlerCannotWaitForItsServer() async throws {
        try await withLoop(clock: .system) {
            let log = try reports()
            let box = Shared<TCPServer?>(nil)
            let server = try serve { stream in
                _ = try await stream.read()
                try await box.value?.shutDown(grace: .seconds(1))
            }
            box.value = server
            let client = try await server.client()
            try await client.write("x".utf8)
            try await until { server.statistics.current == 0 }
            client.abort()
            #expect(!server.isClosed)
            #expect(log.entries.first?.contains("wait for its own end") == true, "\(log.entries)")
            box.value = nil
            server.close()
            try await server.waitClosed()
        }
    }

    @Test func aServerWhoseListenersAreClosedByOthersIsClosed() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            try await LoopTask.yield()
            server.listeners[0].close()
            try await server.waitClosed()
            #expect(server.isClosed)
        }
    }

    @Test func aServerEndsWithItsLoop() async throws {
        let kept = Shared<TCPStream?>(nil)
        try await onOwnThread {
            let log = Log()
            try EventLoop.run {
                try EventLoop.requireCurrent("test").setReportHandler { log("\($0)") }
                let server = try serve()
                kept.value = try await server.client()
            }
            #expect(log.entries.isEmpty, "\(log.entries)")
            // Before its first turn.
            try EventLoop.run {
                try EventLoop.requireCurrent("test").setReportHandler { log("\($0)") }
                _ = try serve()
            }
            #expect(log.entries.isEmpty, "\(log.entries)")
        }
    }

    @Test func plainTasksMayServe() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let address = Future<SocketAddress>(loop: loop)
            let plain = Task.detached {
                let server = try await TCPServer.listen(host: "127.0.0.1", port: 0, on: loop, handler: { try await echo($0) })
                try loop.callSoonThreadsafe { try address.setResult(server.addresses[0]) }
                try await server.run()
            }
            let client = try await TCPStream.connect(to: try await address.value)
            try await client.write("x".utf8)
            #expect(try await client.read() == Array("x".utf8))
            plain.cancel()
            await #expect(throws: CancellationError.self) { try await LoopTask.foreign { try await plain.value } }
            client.abort()
        }
    }

    @Test func misuseIsToldAndLeavesTheListenersAlone() async throws {
        try await withLoop(clock: .system) {
            await expectCode(.misuse) { try TCPServer([], handler: { try await echo($0) }) }
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            await expectCode(.misuse) { try TCPServer([listener], maximumConnections: 0, handler: { try await echo($0) }) }
            #expect(!listener.isClosed)
            listener.close()
            await expectCode(.invalidAddress) { try await TCPServer.serve(host: "no where", port: 0, handler: { try await echo($0) }) }
        }
    }

    /// A connection that comes as the server closes is served to its end, refused, or broken off; nothing is left of it.
    @Test func fault44_connectionsThatRaceWithTheCloseAreNeverLeaked() async throws {
        try await withLoop(clock: .system) {
            var random = Seeded(44)
            var served = 0, refused = 0
            for _ in 0..<1000 {
                let server = try serve()
                let clients = (0..<2).map { _ in
                    LoopTask {
                        let stream = try await server.connect()
                        defer { stream.abort() }
                        try await stream.write("x".utf8)
                        return try await stream.read()
                    }
                }
                for _ in 0..<Int.random(in: 0...600, using: &random) { try await LoopTask.yield() }
                server.close()
                if Bool.random(using: &random) { server.abortClients() }
                for client in clients {
                    do {
                        let answer = try await withTimeout(.seconds(10)) { try await client.value }
                        #expect(answer == Array("x".utf8))
                        served += 1
                    } catch let error as LoopError {
                        #expect(error.code == .connectionLost || error.code == .system, "\(error)")
                        refused += 1
                    }
                }
                try await withTimeout(.seconds(10)) { try await server.waitClosed() }
                #expect(server.statistics.current == 0)
            }
            #expect(served > 100 && refused > 100, "\(served) served, \(refused) refused")
        }
    }
}

private enum Trace {
    @TaskLocal static var id = "none"
}

/// Connections as the test hands them out.
final class Arrivals: StreamListener, @unchecked Sendable {
    // Sendable: tests touch it on one loop's thread only.
    let loop = EventLoop.current ?? EventLoop.none
    let queue: Queue<TCPStream>
    var failures = 0
    var onAccept: () -> Void = {}
    private(set) var isClosed = false
    var acceptFailures: Int { 0 }
    var description: String { "arrivals" }

    init() throws { queue = try Queue() }

    func accept(file: String, line: Int) async throws -> TCPStream {
        if failures > 0 {
            failures -= 1
            throw LoopError(.system, "accept", "out of luck")
        }
        do {
            let stream = try await queue.get()
            onAccept()
            return stream
        } catch let error as LoopError where error.code == .queueShutDown {
            throw LoopError(.closed, "accept", "closed")
        }
    }

    func close() {
        isClosed = true
        try? queue.shutDown(immediate: true)
    }
}
