import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// A loop that ends while tasks wait on it, in every way there is.
@Suite struct SuspendedTaskTests {
    /// One task in each kind of wait.
    private static func waitEverywhere(_ log: Log) async throws -> [AnyLoopTask] {
        let full = try TCPListener.listen(host: "127.0.0.1", port: 0, backlog: 0)
        let fillers = try await fillBacklog(of: full)
        let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
        let (near, far) = try await connectedPair()
        let writer = try await near.fillUp(Shared([]))
        let (reading, quiet) = try await connectedPair()
        let never = try Future<Int>()
        let lock = try Lock()
        try await lock.acquire()
        let event = try Event(), semaphore = try Semaphore(value: 0), queue = try Queue<Int>(), barrier = try Barrier(parties: 2)
        let condition = try Condition()
        var tasks: [AnyLoopTask] = [writer] + fillers.filter { !$0.isDone }
        func wait(_ name: String, _ body: @escaping @Sendable () async throws -> Void) {
            tasks.append(
                LoopTask(name: name) {
                    do {
                        try await body()
                        log("\(name): returned")
                    } catch let error as CancelledError {
                        // It may clean up, and wait for that.
                        try await LoopTask.sleep(for: .milliseconds(1))
                        log("\(name): cancelled")
                        throw error
                    } catch is CancellationError {
                        log("\(name): cancelled")
                    } catch {
                        log("\(name): \(error)")
                    }
                })
        }
        wait("sleep") { try await LoopTask.sleep(for: .seconds(3600)) }
        wait("connect") { _ = try await TCPStream.connect(to: full.address) }
        wait("accept") { _ = try await listener.accept() }
        wait("read") { _ = try await reading.read() }
        wait("write") { try await near.write([1]) }
        wait("flush") { try await near.flush() }
        wait("waitClosed") { try await quiet.waitClosed() }
        wait("future") { _ = try await never.value }
        wait("lock") { try await lock.acquire() }
        wait("event") { try await event.wait() }
        wait("semaphore") { try await semaphore.acquire() }
        wait("queue") { _ = try await queue.get() }
        wait("barrier") { _ = try await barrier.wait() }
        wait("condition") {
            try await condition.acquire()
            try await condition.wait()
        }
        wait("shield") { _ = try await LoopTask.shield(never) }
        wait("waitFor") { _ = try await LoopTask.waitFor(never, timeout: .seconds(3600)) }
        wait("timeout") { try await withTimeout(.seconds(3600)) { _ = try await never.value } }
        wait("foreign") { _ = try await LoopTask.foreign { try await Task.sleep(for: .seconds(3600)) } }
        wait("bare foreign") { try await Task.sleep(for: .seconds(3600)) }
        for _ in 0..<1000 where !tasks.allSatisfy({ $0.isWaiting || $0.name.contains("foreign") }) { try await LoopTask.yield() }
        // The streams and listeners are kept by those who wait, and by this.
        wait("keeper") {
            defer { withExtendedLifetime((far, full)) {} }
            try await LoopTask.sleep(for: .seconds(3600))
        }
        try await turns(2)
        return tasks
    }

    @Test(arguments: ["closed", "stopped and closed"]) func fault26_aLoopThatEndsWhileTasksWaitEverywhereCancelsThemAll(how: String) async throws {
        let log = Log()
        let outcomes = try await onOwnThread {
            let loop = try EventLoop()
            loop.setReportHandler { if !$0.message.contains("never closed") { log("report: \($0)") } }
            let first = LoopTask(on: loop) { try await SuspendedTaskTests.waitEverywhere(log) }
            let tasks = try loop.runUntilComplete(first)
            #expect(tasks.allSatisfy { !$0.isDone }, "\(tasks.filter(\.isDone).map(\.name))")
            if how == "stopped and closed" {
                // A loop that does not run keeps them as they are, and goes on with them.
                loop.stop()
                try loop.runForever()
                try loop.callLater(.milliseconds(5)) { loop.stop() }
                try loop.runForever()
                #expect(tasks.allSatisfy { !$0.isDone })
            }
            // Foreign code ends on threads of others, which may have to wait for their turn.
            try loop.close(grace: .seconds(300))
            #expect(loop.unfinishedTasks.isEmpty && loop.outstanding == 0)
            return tasks.map { ($0.name, $0.isDone) }
        }
        for (name, isDone) in outcomes { #expect(isDone, "\(name)") }
        let expected = [
            "accept", "bare foreign", "barrier", "condition", "connect", "event", "flush", "foreign", "future", "keeper", "lock", "queue", "read", "semaphore",
            "shield", "sleep", "timeout", "waitClosed", "waitFor", "write",
        ]
        #expect(log.entries.sorted() == expected.map { "\($0): cancelled" }, "\(log.entries)")
    }
}
