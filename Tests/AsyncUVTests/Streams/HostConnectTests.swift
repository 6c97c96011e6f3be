import Foundation
import Testing
@testable import AsyncUV
import UVCore

@Suite(.timeLimit(.minutes(1))) struct HostConnectTests {
    /// Connects to the name `host` on a network of the test's own; what happened, in order.
    private func connect(
        _ addresses: [String], _ outcomes: [String: ScriptedNetwork.Outcome], _ options: TCPStream.ConnectOptions = .init(),
        _ end: @escaping @Sendable (Result<TCPStream, any Error>) async throws -> Void = { _ in }
    ) async throws -> [String] {
        let network = ScriptedNetwork(outcomes, names: ["host": addresses])
        try await withLoop(network: network) {
            let result: Result<TCPStream, any Error>
            do {
                result = .success(try await TCPStream.connect(host: "host", port: 80, options: options))
            } catch {
                result = .failure(error)
            }
            // Only the one that was taken is left, and no timer.
            #expect(network.open == ((try? result.get()) == nil ? 0 : 1))
            let loop = try EventLoop.requireCurrent("test")
            #expect(loop.statistics.armedTimers == 0 && loop.networkWaits == 0)
            try await end(result)
            if case .success(let stream) = result { stream.abort() }
        }
        #expect(network.open == 0 && network.closedTwice == 0)
        return network.log.entries
    }

    // MARK: it works

    @Test func theFirstAddressIsTakenIfItAnswersInTime() async throws {
        let log = try await connect(["::1", "10.0.0.1"], ["::1": .connects(after: .milliseconds(249)), "10.0.0.1": .connectsAtOnce]) {
            let stream = try $0.get()
            #expect(stream.peerAddress == .loopbackIPv6(port: 80))
        }
        #expect(log == ["0 ::1", "249 ::1 connected"])
    }

    @Test func theNextIsTriedBesideOneThatDoesNotAnswerAndTheLoserIsGivenUp() async throws {
        let log = try await connect(["::1", "::2", "10.0.0.1"], ["10.0.0.1": .connects(after: .milliseconds(20))]) {
            let stream = try $0.get()
            #expect(stream.peerAddress.description == "10.0.0.1:80")
        }
        #expect(log == ["0 ::1", "250 10.0.0.1", "270 10.0.0.1 connected", "270 ::1 given up"])
    }

    @Test func anEarlierAttemptMayStillWin() async throws {
        let log = try await connect(["::1", "::2", "::3"], ["::1": .connects(after: .milliseconds(600))])
        #expect(log == ["0 ::1", "250 ::2", "500 ::3", "600 ::1 connected", "600 ::2 given up", "600 ::3 given up"])
    }

    @Test func theNextBeginsAtOnceWhenOneFails() async throws {
        let log = try await connect(
            ["::1", "::2", "::3", "::4", "::5"],
            [
                "::1": .failsAtOnce(ENETUNREACH), "::2": .fails(ECONNREFUSED, after: .milliseconds(10)), "::3": .failsToWatch(ENOMEM), "::4": .never,
                "::5": .connectsAtOnce,
            ])
        #expect(
            log == ["0 ::1", "0 ::2", "10 ::2 failed", "10 ::3", "10 ::3 given up", "10 ::4", "260 ::5", "260 ::5 connected", "260 ::4 given up"])
    }

    @Test func theDelayCanBeSet() async throws {
        var options = TCPStream.ConnectOptions()
        options.attemptDelay = .zero
        let log = try await connect(["::1", "::2", "::3"], ["::2": .connects(after: .milliseconds(5)), "::3": .connects(after: .milliseconds(4))], options)
        #expect(log == ["0 ::1", "0 ::2", "0 ::3", "4 ::3 connected", "4 ::1 given up", "4 ::2 given up"])
    }

    @Test func twoThatAnswerInTheSameTurnAreOneConnection() async throws {
        var options = TCPStream.ConnectOptions()
        options.attemptDelay = .zero
        let log = try await connect(["::1", "::2"], ["::1": .connects(after: .milliseconds(5)), "::2": .connects(after: .milliseconds(5))], options)
        #expect(log == ["0 ::1", "0 ::2", "5 ::1 connected", "5 ::2 given up"])
    }

    @Test func familyAndLocalAddressAreObserved() async throws {
        var options = TCPStream.ConnectOptions()
        options.localAddress = .anyIPv4()
        var log = try await connect(["::1", "10.0.0.1"], ["10.0.0.1": .connectsAtOnce], options)
        #expect(log == ["0 ::1", "250 10.0.0.1 from 0.0.0.0:0", "250 10.0.0.1 connected", "250 ::1 given up"])
        options.family = .ipv4
        log = try await connect(["::1", "10.0.0.1"], ["10.0.0.1": .connectsAtOnce], options)
        #expect(log == ["0 10.0.0.1 from 0.0.0.0:0", "0 10.0.0.1 connected"])
    }

    // MARK: it fails

    @Test func oneErrorListsWhatBecameOfEveryAddress() async throws {
        _ = try await connect(["::1", "10.0.0.1"], ["::1": .failsAtOnce(ENETUNREACH), "10.0.0.1": .fails(ECONNREFUSED, after: .seconds(1))]) { result in
            let error = #expect(throws: LoopError.self) { try result.get() }
            #expect(error?.code == .system && error?.systemCode == nil)
            #expect(
                error?.description
                    == "connect host:80: no address answered: [::1]:80: network is unreachable (ENETUNREACH), 10.0.0.1:80: connection refused (ECONNREFUSED)")
        }
        _ = try await connect(["::1", "10.0.0.1"], ["::1": .failsAtOnce(ECONNREFUSED), "10.0.0.1": .failsAtOnce(ECONNREFUSED)]) { result in
            let error = #expect(throws: LoopError.self) { try result.get() }
            #expect(error?.systemCode == ECONNREFUSED)
            #expect(error?.description.hasSuffix("10.0.0.1:80: connection refused (ECONNREFUSED); nothing listens there") == true)
        }
    }

    @Test func manyAddressesDoNotMakeALongError() async throws {
        let hosts = (1...1000).map { "10.0.\($0 / 256).\($0 % 256)" }
        let outcomes = Dictionary(uniqueKeysWithValues: hosts.map { ($0, ScriptedNetwork.Outcome.failsAtOnce(ECONNREFUSED)) })
        let log = try await connect(hosts, outcomes) { result in
            let error = #expect(throws: LoopError.self) { try result.get() }
            #expect(error?.detail.contains("and 984 more") == true && (error?.detail.count ?? 0) < 1500)
        }
        #expect(log.count == 1000)
    }

    @Test func anAddressInDigitsIsNamedOnce() async throws {
        let network = ScriptedNetwork(["10.0.0.1": .failsAtOnce(ECONNREFUSED)])
        try await withLoop(network: network) {
            let error = await #expect(throws: LoopError.self) { try await TCPStream.connect(host: "10.0.0.1", port: 80) }
            #expect(error?.description == "connect 10.0.0.1:80: connection refused (ECONNREFUSED); nothing listens there")
        }
    }

    @Test func aNameThatIsNotFoundIsSaidToBe() async throws {
        try await withLoop(network: ScriptedNetwork([:])) {
            let missing = await #expect(throws: LoopError.self) { try await TCPStream.connect(host: "nosuch", port: 80) }
            #expect(missing?.code == .nameNotFound && missing?.subject == "nosuch:80")
            for host in ["", "a\0b", "127.1"] {
                let error = await #expect(throws: LoopError.self) { try await TCPStream.connect(host: host, port: 80) }
                #expect(error?.code == .invalidAddress)
            }
            let port = await #expect(throws: LoopError.self) { try await TCPStream.connect(host: "host", port: 65_536) }
            #expect(port?.code == .invalidAddress)
        }
    }

    // MARK: deadlines

    @Test func fault39_aSilentAddressIsGivenUpAtItsDeadlineAndTheNextOneBegins() async throws {
        var options = TCPStream.ConnectOptions(attemptTimeout: .milliseconds(100))
        let log = try await connect(["::1", "::2"], ["::2": .connects(after: .milliseconds(99))], options)
        #expect(log == ["0 ::1", "100 ::1 given up", "100 ::2", "199 ::2 connected"])
        options.attemptDelay = .milliseconds(10)
        _ = try await connect(["::1", "::2"], [:], options) { result in
            let error = #expect(throws: LoopError.self) { try result.get() }
            #expect(error?.code == .timedOut && error?.systemCode == nil)
            #expect(error?.description.contains("[::2]:80: no answer within 0.1 seconds") == true)
            let now = try EventLoop.requireCurrent("test").now
            #expect(now == LoopInstant(nanoseconds: 110_000_000))
        }
    }

    @Test func fault39_theWholeEndsAtItsDeadline() async throws {
        let log = try await connect(["::1", "::2", "::3"], ["::2": .failsAtOnce(ECONNREFUSED)], .init(timeout: .milliseconds(300))) { result in
            let error = #expect(throws: LoopError.self) { try result.get() }
            #expect(error?.code == .timedOut)
            #expect(
                error?.description
                    == "connect host:80: no connection within 0.3 seconds: [::2]:80: connection refused (ECONNREFUSED), [::1]:80: no answer yet, [::3]:80: no answer yet")
        }
        #expect(log == ["0 ::1", "250 ::2", "250 ::3", "300 ::1 given up", "300 ::3 given up"])
    }

    @Test func fault39_aLookupThatTakesTooLongIsPartOfTheTime() async throws {
        final class Silent: Resolver {
            func addresses(for query: HostQuery) async throws -> HostAnswer {
                try await LoopTask.sleep(for: .seconds(60))
                return HostAnswer(addresses: [])
            }
            func hostName(of address: SocketAddress) async throws -> String { "" }
        }
        var options = TCPStream.ConnectOptions(timeout: .seconds(2))
        options.resolver = Silent()
        let log = try await connect([], [:], options) { result in
            let error = #expect(throws: LoopError.self) { try result.get() }
            #expect(error?.code == .timedOut && error?.description == "connect host:80: its name was not resolved within 2.0 seconds")
            let now = try EventLoop.requireCurrent("test").now
            #expect(now == LoopInstant(nanoseconds: 2_000_000_000))
        }
        #expect(log == [])
    }

    @Test func aTimeOfZeroTriesNothing() async throws {
        let log = try await connect(["::1"], ["::1": .connectsAtOnce], .init(timeout: .zero)) { result in
            let error = #expect(throws: LoopError.self) { try result.get() }
            #expect(error?.code == .timedOut)
        }
        #expect(log == [])
    }

    // MARK: cancelled while waiting

    /// After so many milliseconds of an attempt that would connect after 400 ms by its second address; at 400 in the very turn in which it does.
    @Test(arguments: [0, 1, 249, 250, 251, 399, 400], [false, true])
    func fault03_cancelClosesEverySocketOnceAndLeavesNoTimer(milliseconds: Int, cancelsFirst: Bool) async throws {
        let network = ScriptedNetwork(["::2": .connects(after: .milliseconds(150))], names: ["host": ["::1", "::2"]])
        try await withLoop(network: network) {
            let loop = try EventLoop.requireCurrent("test")
            let time = loop.now.advanced(by: .milliseconds(milliseconds))
            func startClock(_ task: @escaping () -> LoopTask<Void>?) -> LoopTimer { loop.startTimer(at: time, .call { task()?.cancel() }) }
            let shared = Shared<LoopTask<Void>?>(nil)
            if cancelsFirst { _ = startClock { shared.value } }
            let task = LoopTask { try await TCPStream.connect(host: "host", port: 80).abort() }
            shared.value = task
            if !cancelsFirst {
                // Armed after the attempt's own timers, so that it fires after them.
                try await LoopTask.yield()
                try await LoopTask.sleep(for: .milliseconds(max(milliseconds - 1, 0)))
                _ = startClock { task }
            }
            do { try await task.value } catch is CancelledError {}
            #expect(network.open == 0 && network.closedTwice == 0)
            #expect(loop.statistics.armedTimers == 0 && loop.networkWaits == 0)
            if milliseconds < 400 { #expect(task.isCancelled) }
        }
        #expect(network.open == 0 && network.closedTwice == 0)
    }

    @Test func fault03_cancelDuringTheLookupConnectsNowhere() async throws {
        let network = ScriptedNetwork([:])
        try await withLoop(network: network) {
            let slow = DispatchSemaphore(value: 0)
            let resolver = SystemResolver(
                calls: SystemResolver.Calls(
                    addresses: { _ throws(NameLookup.Failure) in
                        slow.wait()
                        return ([SocketName(isIPv6: false, high: 0, low: 1, port: 0)], nil)
                    }, host: { _ throws(NameLookup.Failure) in throw .notFound }))
            var options = TCPStream.ConnectOptions()
            options.resolver = resolver
            let task = LoopTask { [options] in try await TCPStream.connect(host: "host", port: 80, options: options).abort() }
            try await LoopTask.yield()
            #expect(task.cancel())
            await #expect(throws: CancelledError.self) { try await task.value }
            slow.signal()
        }
        #expect(network.log.entries == [])
    }

    // MARK: closed while waiting

    @Test func aLoopThatClosesTakesTheAttemptsAlong() async throws {
        let network = ScriptedNetwork([:], names: ["host": ["::1", "::2"]])
        try await onOwnThread {
            let loop = try EventLoop(clock: .virtual, network: network)
            let task = LoopTask(on: loop) { try await TCPStream.connect(host: "host", port: 80).abort() }
            try loop.callLater(.milliseconds(300)) { loop.stop() }
            try loop.runForever()
            #expect(network.open == 2)
            let left = try loop.close()
            #expect(left.isEmpty)
            #expect(task.isCancelled && network.open == 0)
        }
    }

    // MARK: over the system's loopback

    @Test func localhostIsFoundWhereverItListens() async throws {
        try await withLoop(clock: .system) {
            for listener in [try TCPListener.listen(at: .loopback()), try? TCPListener.listen(at: .loopbackIPv6())].compactMap({ $0 }) {
                let near = try await TCPStream.connect(host: "localhost", port: listener.address.port)
                let far = try await listener.accept()
                #expect(try near.localAddress() == far.peerAddress)
                near.abort()
                far.abort()
                listener.close()
            }
        }
    }

    @Test func fault39_anAddressThatDropsWhatIsSentToItCostsOneDelay() async throws {
        try await withLoop(clock: .system) {
            let loop = try EventLoop.requireCurrent("test")
            // Its backlog is full: the system leaves further attempts without an answer.
            let full = try TCPListener.listen(at: .loopback(), backlog: 0)
            var fillers: [TCPStream] = []
            do {
                while fillers.count < 20 {
                    fillers.append(try await TCPStream.connect(host: "127.0.0.1", port: full.address.port, options: .init(timeout: .seconds(1))))
                }
            } catch let error as LoopError where error.code == .timedOut {}
            let good = try TCPListener.listen(at: SocketAddress(host: "127.0.0.2", port: full.address.port))
            var options = TCPStream.ConnectOptions(timeout: .seconds(20))
            options.attemptDelay = .milliseconds(30)
            options.resolver = TableResolver(["host": ["127.0.0.1", "127.0.0.2"], "silent": ["127.0.0.1"]])
            let near = try await TCPStream.connect(host: "host", port: full.address.port, options: options)
            try #require(near.peerAddress == good.address)
            near.abort()
            try await good.accept().abort()
            options.timeout = .milliseconds(50)
            let hurried = options
            let began = loop.now
            let error = await #expect(throws: LoopError.self) {
                try await TCPStream.connect(host: "silent", port: full.address.port, options: hurried)
            }
            #expect(error?.code == .timedOut)
            #expect(began.duration(to: loop.now) >= .milliseconds(50))
            for filler in fillers { filler.abort() }
            full.close()
            good.close()
        }
    }

    @Test func plainTasksMayConnect() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(at: .loopback())
            async let near = TCPStream.connect(host: "localhost", port: listener.address.port)
            let far = try await listener.accept()
            let stream = try await near
            stream.abort()
            far.abort()
            listener.close()
        }
    }
}
