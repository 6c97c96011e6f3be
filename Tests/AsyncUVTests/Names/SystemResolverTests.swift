import Foundation
import Testing
@testable import AsyncUV
import UVCore

/// The calls of a resolver that block until the test lets them go on.
private final class SlowNames: @unchecked Sendable {
    private let lock = ThreadLock()
    private let open = DispatchSemaphore(value: 0)
    private let began = DispatchSemaphore(value: 0)
    private var stored: [String] = []

    /// Hosts whose look-up has begun, in order.
    var begun: [String] { lock.withLock { stored } }

    func letGo(_ count: Int = 1) { for _ in 0..<count { open.signal() } }

    /// Waits, on another thread, until `count` more have begun.
    func waitForBegun(_ count: Int) async throws {
        try await LoopTask.runBlocking { [self] in for _ in 0..<count { began.wait() } }
    }

    func resolver(threadLimit: Int = SystemResolver.defaultThreadLimit, queueLimit: Int = 100) -> SystemResolver {
        SystemResolver(
            threadLimit: threadLimit, queueLimit: queueLimit,
            calls: calls)
    }

    var calls: SystemResolver.Calls {
        SystemResolver.Calls(
            addresses: { [self] query throws(NameLookup.Failure) in
                block(query.host)
                return ([SocketName(isIPv6: false, high: 0, low: 0x0a00_0001, port: 0)], nil)
            },
            host: { [self] name throws(NameLookup.Failure) in
                block(name.host)
                return "ten"
            })
    }

    private func block(_ host: String) {
        lock.withLock { stored.append(host) }
        began.signal()
        open.wait()
    }
}

extension SystemResolver {
    /// The worker counts itself out after it has told its result.
    fileprivate func waitUntil(_ condition: @escaping @Sendable (Statistics) -> Bool) async throws {
        try await LoopTask.runBlocking { while !condition(self.statistics) { usleep(1000) } }
    }
}

@Suite(.timeLimit(.minutes(1))) struct SystemResolverTests {
    // MARK: it works

    @Test func looksUpLocalhostInTheSystemsOwnFiles() async throws {
        try await withLoop {
            let answer = try await SystemResolver.shared.addresses(for: HostQuery(host: "localhost", port: 80))
            #expect(!answer.addresses.isEmpty && answer.addresses.allSatisfy { $0.isLoopback && $0.port == 80 })
            #expect(answer.canonicalName == nil)
            let name = try await EventLoop.requireCurrent("test").hostName(of: .loopback(port: 80))
            #expect(name.contains("localhost"))
        }
    }

    @Test func looksUpAServiceAndACanonicalName() async throws {
        try await withLoop {
            let loop = try EventLoop.requireCurrent("test")
            var query = try HostQuery(host: "127.0.0.1", service: "https")
            query.wantsCanonicalName = true
            let answer = try await loop.resolve(query)
            #expect(answer == HostAnswer(addresses: [.loopback(port: 443)], canonicalName: "127.0.0.1"))
            let error = await #expect(throws: LoopError.self) { try await loop.resolve(HostQuery(host: "127.0.0.1", service: "no-such-service")) }
            #expect(error?.code == .system)
            #expect(error?.description.hasPrefix("resolve 127.0.0.1:no-such-service: ") == true && error?.detail.contains("EAI_SERVICE") == true)
        }
    }

    @Test func givesTheAnswerOfABlockingCallWithThePort() async throws {
        let slow = SlowNames()
        slow.letGo(2)
        try await withLoop {
            let resolver = slow.resolver()
            #expect(try await SocketAddress.resolve(host: "ten.example", port: 80, using: resolver) == [SocketAddress(host: "10.0.0.1", port: 80)])
            #expect(try await EventLoop.requireCurrent("test").hostName(of: SocketAddress(host: "10.0.0.1", port: 80), using: resolver) == "ten")
            try await resolver.waitUntil { $0 == .init(waiting: 0, running: 0, abandoned: 0) }
        }
        #expect(slow.begun == ["ten.example", "10.0.0.1"])
    }

    @Test(arguments: [
        (NameLookup.Failure.notFound, LoopError.Code.nameNotFound, "EAI_NONAME"), (.temporary, .temporaryFailure, "EAI_AGAIN"),
        (.unsupportedFamily, .system, "EAI_FAMILY"),
    ])
    func errorsNameTheHostAndWhatKindOfFailureItIs(failure: NameLookup.Failure, code: LoopError.Code, name: String) async throws {
        let resolver = SystemResolver(
            calls: SystemResolver.Calls(
                addresses: { _ throws(NameLookup.Failure) in throw failure }, host: { _ throws(NameLookup.Failure) in throw failure }))
        try await withLoop {
            let error = await #expect(throws: LoopError.self) { try await SocketAddress.resolve(host: "nosuch.example", port: 80, using: resolver) }
            #expect(error?.code == code)
            #expect(error?.operation == "resolve" && error?.subject == "nosuch.example:80")
            #expect(error?.detail.contains("(\(name))") == true)
            let reverse = await #expect(throws: LoopError.self) { try await resolver.hostName(of: .loopback(port: 80)) }
            #expect(reverse?.code == code && reverse?.subject == "127.0.0.1")
        }
    }

    @Test func plainTasksAndOtherLoopsMayAsk() async throws {
        let slow = SlowNames()
        slow.letGo(2)
        let resolver = slow.resolver()
        try await withLoop {
            let loop = try EventLoop.requireCurrent("test")
            async let addresses = SocketAddress.resolve(host: "a.example", port: 1, using: resolver)
            #expect(try await addresses.count == 1)
            try await onOwnThread {
                let other = try EventLoop()
                let task = LoopTask(on: other) { try await SocketAddress.resolve(host: "b.example", port: 1, using: resolver, on: loop) }
                _ = try other.runUntilComplete(task)
                try other.runUntilTidy()
                try other.close()
            }
        }
        #expect(slow.begun == ["a.example", "b.example"])
    }

    @Test func outsideOfALoopItSaysSo() async throws {
        let error = await #expect(throws: LoopError.self) { try await SocketAddress.resolve(host: "a.example", port: 1) }
        #expect(error?.code == .misuse)
    }

    // MARK: cancelled while waiting

    @Test func fault13_aCancelledLookupIsLeftAtOnceAndItsThreadIsAccountedFor() async throws {
        try await withLoop {
            let loop = try EventLoop.requireCurrent("test")
            let slow = SlowNames()
            let resolver = slow.resolver()
            let caller = LoopTask { try await SocketAddress.resolve(host: "slow.example", port: 1, using: resolver) }
            try await slow.waitForBegun(1)
            #expect(resolver.statistics == .init(waiting: 0, running: 1, abandoned: 0))
            let turn = loop.turn
            #expect(caller.cancel())
            #expect(resolver.statistics == .init(waiting: 0, running: 1, abandoned: 1))
            await #expect(throws: CancelledError.self) { try await caller.value }
            #expect(loop.turn <= turn + 2)
            slow.letGo()
            try await resolver.waitUntil { $0 == .init(waiting: 0, running: 0, abandoned: 0) }
        }
    }

    @Test func fault13_aLookupThatHasNotBegunIsTakenBack() async throws {
        try await withLoop {
            let slow = SlowNames()
            let resolver = slow.resolver(threadLimit: 1)
            let first = LoopTask { try await SocketAddress.resolve(host: "first.example", port: 1, using: resolver) }
            try await slow.waitForBegun(1)
            let second = LoopTask { try await SocketAddress.resolve(host: "second.example", port: 1, using: resolver) }
            try await LoopTask.yield()
            #expect(resolver.statistics == .init(waiting: 1, running: 1, abandoned: 0))
            second.cancel()
            #expect(resolver.statistics == .init(waiting: 0, running: 1, abandoned: 0))
            await #expect(throws: CancelledError.self) { try await second.value }
            slow.letGo(2)
            _ = try await first.value
            try await resolver.waitUntil { $0.running == 0 }
            #expect(slow.begun == ["first.example"])
        }
    }

    @Test func fault13_aTimeoutGivesUpALookupAndAFailureThatComesLaterIsNobodys() async throws {
        let slow = SlowNames()
        let resolver = SystemResolver(
            calls: SystemResolver.Calls(
                addresses: { query throws(NameLookup.Failure) in
                    _ = try slow.calls.addresses(query)
                    throw .notFound
                }, host: { _ throws(NameLookup.Failure) in throw .notFound }))
        // A late error would come as a report, which withLoop takes for a failure.
        try await withLoop(clock: .system) {
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(.seconds(1)) { try await SocketAddress.resolve(host: "slow.example", port: 1, using: resolver) }
            }
            #expect(resolver.statistics.abandoned == 1)
            slow.letGo()
            try await resolver.waitUntil { $0.running == 0 }
        }
    }

    // MARK: closed while waiting

    @Test func fault13_aLoopThatIsClosedMeanwhileIsNotWaitedFor() async throws {
        let slow = SlowNames()
        let resolver = slow.resolver()
        try await onOwnThread {
            let loop = try EventLoop()
            let task = LoopTask(on: loop) { try await SocketAddress.resolve(host: "slow.example", port: 1, using: resolver) }
            while resolver.statistics.running == 0 {
                loop.stop()
                try loop.runForever()
            }
            #expect(try loop.close() == [:])
            #expect(task.isCancelled)
        }
        #expect(resolver.statistics == .init(waiting: 0, running: 1, abandoned: 1))
        slow.letGo()
        try await withLoop { try await resolver.waitUntil { $0.running == 0 && $0.abandoned == 0 } }
    }

    // MARK: limits

    @Test func fault64_slowLookupsDelayNeitherEachOtherBelowTheLimitNorBlockingCode() async throws {
        try await withLoop {
            let slow = SlowNames()
            let resolver = slow.resolver()
            let callers = (1...21).map { number in LoopTask { try await SocketAddress.resolve(host: "host\(number).example", port: 1, using: resolver) } }
            // All that the limit allows run at once, in the order in which they were asked for.
            try await slow.waitForBegun(16)
            #expect(resolver.statistics == .init(waiting: 5, running: 16, abandoned: 0))
            #expect(Set(slow.begun) == Set((1...16).map { "host\($0).example" }))
            // Blocking code has threads of its own; this call comes back while all those of the resolver are held.
            #expect(try await LoopTask.runBlocking { 7 } == 7)
            #expect(resolver.statistics.running == 16)
            // Digits and localhost need no thread.
            #expect(try await SocketAddress.resolve(host: "127.0.0.1", port: 1, using: resolver).count == 1)
            #expect(try await SocketAddress.resolve(host: "localhost", port: 1, using: resolver).count == 2)
            // Each that ends lets the next one begin.
            for number in 17...21 {
                slow.letGo()
                try await slow.waitForBegun(1)
                #expect(slow.begun.last == "host\(number).example")
            }
            slow.letGo(16)
            for caller in callers { #expect(try await caller.value.count == 1) }
        }
    }

    @Test func fault64_lookupsThatAreHeldUpDoNotDelayTheSharedResolver() async throws {
        try await withLoop {
            let slow = SlowNames()
            let resolver = slow.resolver(threadLimit: 2)
            let callers = (0..<4).map { _ in LoopTask { try await SocketAddress.resolve(host: "slow.example", port: 1, using: resolver) } }
            try await slow.waitForBegun(2)
            #expect(!(try await SystemResolver.shared.addresses(for: HostQuery(host: "localhost", port: 80))).addresses.isEmpty)
            #expect(resolver.statistics == .init(waiting: 2, running: 2, abandoned: 0))
            slow.letGo(4)
            for caller in callers { _ = try await caller.value }
        }
    }

    @Test func tooManyLookupsAreRefusedWithAWordOnWhy() async throws {
        try await withLoop {
            let slow = SlowNames()
            let resolver = slow.resolver(threadLimit: 1, queueLimit: 2)
            let callers = (1...3).map { number in LoopTask { try await SocketAddress.resolve(host: "host\(number).example", port: 1, using: resolver) } }
            try await LoopTask.yield()
            let error = await #expect(throws: LoopError.self) { try await SocketAddress.resolve(host: "host4.example", port: 1, using: resolver) }
            #expect(error?.code == .queueFull)
            #expect(error?.subject == "host4.example:1" && error?.detail.contains("2 look-ups wait for 1 threads") == true)
            // The place of one that was taken back is free again.
            callers[2].cancel()
            await #expect(throws: CancelledError.self) { try await callers[2].value }
            let fifth = LoopTask { try await SocketAddress.resolve(host: "host5.example", port: 1, using: resolver) }
            slow.letGo(3)
            #expect(try await fifth.value.count == 1)
            for caller in callers.prefix(2) { _ = try await caller.value }
            #expect(slow.begun == ["host1.example", "host2.example", "host5.example"])
        }
    }
}
