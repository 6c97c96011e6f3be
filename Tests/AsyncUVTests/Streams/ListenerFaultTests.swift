import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// What accept(2) may fail with, one listener at a time: its errors are scripted, the connections are real.
@Suite struct ListenerFaultTests {
    @Test(arguments: [ECONNABORTED, EPROTO, EPERM, ENETDOWN, EINTR, EHOSTUNREACH, ETIMEDOUT], 1...3)
    func fault33_errorsOfOneConnectionAreNotTheListeners(error: Int32, times: Int) async throws {
        let script = Script()
        try await withLoop(clock: .system, network: ListenerNetwork(script)) {
            let listener = try TCPListener.listen(at: .loopback(port: 1))
            script.failures = Array(repeating: error, count: times)
            script.connections = 2
            for _ in 0..<2 { try await listener.accept().abort() }
            #expect(listener.acceptFailures == 0 && script.calls == times + 2)
            listener.close()
        }
    }

    @Test(arguments: [EMFILE, ENFILE, ENOBUFS, ENOMEM], 1...3)
    func fault33_whatMayPassIsReportedOnceAndTriedAgain(error: Int32, times: Int) async throws {
        let script = Script()
        try await withLoop(clock: .system, network: ListenerNetwork(script)) {
            let log = try reports()
            let listener = try TCPListener.listen(at: .loopback(port: 1))
            script.failures = Array(repeating: error, count: times)
            script.connections = 1
            try await listener.accept().abort()
            #expect(listener.acceptFailures == times && script.calls == times + 1)
            #expect(log.entries.count == 1, "\(log.entries)")
            listener.close()
        }
    }

    /// Neither when it says that there are no descriptors, nor when it refuses each connection and leaves it where it is.
    @Test(arguments: [EMFILE, EPERM, ENETDOWN])
    func fault32_aListenerThatCanTakeNothingForTwoSecondsRests(error: Int32) async throws {
        let script = Script()
        try await withLoop(clock: .system, network: ListenerNetwork(script)) {
            let log = try reports()
            let listener = try TCPListener.listen(at: .loopback(port: 1))
            script.lastFailure = error
            script.connections = 1
            let accepting = LoopTask { try await listener.accept() }
            let loop = listener.loop, turns = loop.turn
            try await LoopTask.sleep(for: .seconds(2))
            // Of those who leave the connection where it is, so many are asked in one go that a burst of failed ones is no reason to rest.
            let inOneGo = error == EMFILE ? 1 : EventLoop.maximumAcceptsPerTurn
            #expect(script.calls <= 6 * inOneGo, "\(script.calls)")
            #expect(loop.turn - turns < 40)
            #expect(log.entries.count == 1, "\(log.entries)")
            script.lastFailure = nil
            try await withTimeout(.seconds(5)) { try await accepting.value }.abort()
            listener.close()
        }
    }

    @Test func fault33_whatNobodyKnowsIsThrownAndTheServerTriesAgain() async throws {
        let script = Script()
        try await withLoop(clock: .system, network: ListenerNetwork(script)) {
            let log = try reports()
            let server = try serve()
            script.failures = [EBADF, EFAULT]
            script.connections = 3
            try await until { server.statistics.accepted == 3 }
            #expect(server.statistics.acceptFailures == 2)
            #expect(log.entries.count == 1 && log.entries.first?.contains("EBADF") == true, "\(log.entries)")
            server.cancelHandlers()
            server.close()
            try await server.waitClosed()
        }
    }
}

/// What a listener's calls are answered with.
private final class Script: @unchecked Sendable {
    // Sendable: tests touch it on one loop's thread only.
    var failures: [Int32] = []
    /// Again and again, when there are no others.
    var lastFailure: Int32?
    var connections = 0
    var calls = 0
    var onConnection: (() -> Void)?
    var hasConnection: Bool { connections > 0 }
    private var peers: [any StreamTransport] = []

    func accept(_ loop: EventLoop) -> AcceptOutcome {
        guard hasConnection else { return .failed(UVError(code: -EAGAIN, call: "accept4")) }
        calls += 1
        if !failures.isEmpty { return .failed(UVError(code: -failures.removeFirst(), call: "accept4")) }
        if let lastFailure { return .failed(UVError(code: -lastFailure, call: "accept4")) }
        connections -= 1
        do throws(UVError) {
            let (near, far) = try SystemNetwork.shared.pair(acceptsDescriptors: false, on: loop)
            peers.append(far)
            return .connection(near, peer: .ip(.loopback(port: 2)))
        } catch {
            return .failed(error)
        }
    }

    func close() {
        for peer in peers { peer.close() }
        peers = []
    }
}

private final class ListenerNetwork: Network, @unchecked Sendable {
    // Sendable: as the script.
    private let script: Script
    var isOutside: Bool { true }
    var resolver: any Resolver { SystemResolver.shared }

    init(_ script: Script) { self.script = script }

    func listen(at endpoint: Endpoint, _ options: ListenOptions, on loop: EventLoop) throws(UVError) -> any ListenerTransport {
        ScriptedListener(script, endpoint, loop)
    }

    func connect(to remote: Endpoint, from local: Endpoint?, acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> any ConnectAttempt {
        throw .notSupported("connect")
    }

    func pair(acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> (near: any StreamTransport, far: any StreamTransport) {
        try SystemNetwork.shared.pair(acceptsDescriptors: false, on: loop)
    }

    func datagrams(
        at local: SocketAddress?, to peer: SocketAddress?, _ setup: DatagramSetup, on loop: EventLoop
    ) throws(UVError) -> any DatagramTransport { throw .notSupported("datagrams") }
}

private final class ScriptedListener: ListenerTransport {
    let endpoint: Endpoint
    private let script: Script
    private let loop: EventLoop
    private var isWatching = false
    private(set) var isClosed = false
    var descriptor: Int32 { -1 }

    init(_ script: Script, _ endpoint: Endpoint, _ loop: EventLoop) {
        self.script = script
        self.endpoint = endpoint
        self.loop = loop
    }

    func accept() -> AcceptOutcome { script.accept(loop) }

    var hasConnection: Bool { script.hasConnection }

    func watch(_ onConnection: @escaping () -> Void) throws(UVError) {
        isWatching = true
        look(onConnection)
    }

    /// As a poll does: every turn, for as long as there is something.
    private func look(_ onConnection: @escaping () -> Void) {
        loop.ready.append(
            .call { [self] in
                guard isWatching && !isClosed else { return }
                if script.hasConnection { onConnection() }
                look(onConnection)
            })
    }

    func stopWatching() { isWatching = false }

    func close() {
        isClosed = true
        script.close()
    }
}
