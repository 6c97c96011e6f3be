import Foundation
import Testing
import UVCore
@testable import AsyncUV

@Suite struct UDPFaultTests {
    // MARK: sizes

    @Test func fault42_anEmptyDatagramIsADatagram() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let connected = try UDPSocket.connect(to: far.address)
            let receiving = LoopTask { try await far.receive() }
            try await near.send([], to: far.address)
            #expect(try await receiving.value == Datagram(bytes: [], sender: near.address))
            try await connected.send([])
            #expect(try near.trySend([], to: far.address))
            #expect(try await near.send(batch: [OutgoingDatagram([], to: far.address), OutgoingDatagram([], to: far.address)]) == 2)
            #expect(try await far.receive(atMost: 9).map(\.bytes) == [[], [], [], []])
            try await far.send([], to: connected.address)
            #expect(try await connected.receive() == Datagram(bytes: [], sender: far.address))
            for socket in [near, far, connected] { socket.close() }
        }
    }

    @Test func fault42_aTruncatedDatagramIsFlagged() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local { $0.maximumDatagramSize = 10 }
            for round in 0..<2 {
                for size in [9, 10, 11, 5000] { try await near.send(counted(0..<size), to: far.address) }
                let received =
                    round == 0 ? try await far.receive(atMost: 4) : [try await far.receive(), try await far.receive(), try await far.receive(), try await far.receive()]
                #expect(received.map(\.bytes) == [counted(0..<9), counted(0..<10), counted(0..<10), counted(0..<10)])
                #expect(received.map(\.size) == [9, 10, 11, 5000])
                #expect(received.map(\.isTruncated) == [false, false, true, true])
            }
            near.close()
            far.close()
        }
    }

    @Test(arguments: [("127.0.0.1", 65_507), ("::1", 65_527)])
    func fault42_aDatagramThatIsTooLargeNamesItsSizeAndTheLimit(host: String, limit: Int) async throws {
        try await withLoop(clock: .system) {
            var options = UDPOptions()
            for reports in [false, true] {
                options.reportsUndelivered = reports
                let near = try UDPSocket.bind(host: host, port: 0, options), far = try UDPSocket.bind(host: host, port: 0)
                try await near.send(counted(0..<limit), to: far.address)
                let datagram = try await far.receive()
                #expect(datagram.bytes == counted(0..<limit))
                #expect(!datagram.isTruncated)
                for size in [limit + 1, 65_536, 1_000_000] {
                    let error = await #expect(throws: LoopError.self) { try await near.send([UInt8](repeating: 0, count: size), to: far.address) }
                    #expect(
                        "\(try #require(error))".hasPrefix(
                            "send \(far.address): message too long (EMSGSIZE); a datagram of \(size) bytes; at most \(limit) fit into one"))
                    #expect(error?.code == .system)
                }
                // Who called has been told; it is no report about an earlier datagram.
                #expect(try near.tryReceive() == nil)
                try await near.send([1], to: far.address)
                #expect(try await far.receive().bytes == [1])
                near.close()
                far.close()
            }
        }
    }

    // MARK: what comes back

    @Test(arguments: ["127.8.8.8", "::1"])
    func fault42_whatIsNotDeliveredIsThrownOnceOnAConnectedSocket(host: String) async throws {
        try await withLoop(clock: .system) {
            let gone = try UDPSocket.bind(host: host, port: 0)
            gone.close()
            let socket = try UDPSocket.connect(to: gone.address)
            // By the receive that waits…
            let receiving = LoopTask { try await socket.receive() }
            try await until { receiving.isWaiting }
            try await socket.send([1])
            let error = await #expect(throws: LoopError.self) { try await receiving.value }
            #expect(error?.code == .undelivered)
            #expect(
                "\(try #require(error))"
                    == "receive \(gone.address): a datagram sent earlier was not delivered: connection refused (ECONNREFUSED), nobody receives there")
            #expect(try socket.tryReceive() == nil)
            // … by the next one …
            try await socket.send([2])
            await expectCode(.undelivered) { try await socket.receive(atMost: 2) }
            #expect(try socket.tryReceive() == nil)
            // … or by the next send, which has sent nothing then …
            try await socket.send([3])
            await expectCode(.undelivered) { try await socket.send([4]) }
            #expect(try socket.tryReceive() == nil)
            try await socket.send([5])
            await expectCode(.undelivered) { _ = try await socket.send(batch: [OutgoingDatagram([6])]) }
            // … and ends an iteration.
            try await socket.send([7])
            await expectCode(.undelivered) { for try await _ in socket.datagrams {} }
            // It is alive all the time.
            let back = try UDPSocket.bind(to: gone.address)
            try await back.send([8], to: socket.address)
            #expect(try await socket.receive().bytes == [8])
            try await socket.send([9])
            #expect(try await back.receive().bytes == [9])
            #expect(try back.tryReceive() == nil)
            #expect(socket.loop.outstanding == 0)
            back.close()
            socket.close()
        }
    }

    @Test func fault42_whatIsNotDeliveredNamesItsPeerIfOneAsksForIt() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local { $0.reportsUndelivered = true }, far = try UDPSocket.local()
            let gone = [try nobody(), try nobody(), try nobody()]
            for address in gone {
                try await near.send([1], to: address)
                // It is no business of this send.
                try await near.send([2], to: far.address)
            }
            #expect(try near.trySend([2], to: far.address))
            #expect(try await far.receive(atMost: 9).map(\.bytes) == [[2], [2], [2], [2]])
            try await far.send([3], to: near.address)
            for address in gone {
                let error = await #expect(throws: LoopError.self) { try await near.receive() }
                #expect(error?.code == .undelivered)
                #expect("\(try #require(error))".hasPrefix("receive \(address): a datagram sent earlier was not delivered: connection refused"))
            }
            #expect(try await near.receive().bytes == [3])
            // While it waits.
            let receiving = LoopTask { try await near.receive() }
            try await until { receiving.isWaiting }
            try await near.send([4], to: gone[0])
            await expectCode(.undelivered) { try await receiving.value }
            #expect(try near.tryReceive() == nil)
            near.close()
            far.close()
        }
    }

    @Test func fault42_aServerDoesNotHearOfClientsThatAreGone() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let receiving = LoopTask { try await near.receive() }
            try await until { receiving.isWaiting }
            for _ in 0..<10 { try await near.send([1], to: nobody()) }
            for _ in 0..<10 { try await LoopTask.yield() }
            #expect(!receiving.isDone)
            try await far.send([2], to: near.address)
            #expect(try await receiving.value.bytes == [2])
            near.close()
            far.close()
        }
    }

    /// A descriptor with an error is always ready for whoever watches it.
    @Test func fault42_errorsThatNobodyTakesDoNotKeepTheLoopBusy() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let near = try UDPSocket.local { $0.reportsUndelivered = true }
            let receiving = LoopTask { try await near.receive() }
            try await until { receiving.isWaiting }
            receiving.cancel()
            await #expect(throws: CancelledError.self) { try await receiving.value }
            for _ in 0..<(UDPSocket.maximumReturnedErrors * 3) { try await near.send([1], to: nobody()) }
            let turn = loop.turn
            try await LoopTask.sleep(for: .milliseconds(100))
            #expect(loop.turn < turn + 20)
            #expect(near.watched == [])
            #expect(near.returnedErrors.count <= UDPSocket.maximumReturnedErrors)
            near.close()
        }
    }

    @Test func fault42_aDatagramThatNobodyTakesDoesNotKeepTheLoopBusy() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let receiving = LoopTask { try await far.receive() }
            try await until { receiving.isWaiting }
            receiving.cancel()
            await #expect(throws: CancelledError.self) { try await receiving.value }
            try await near.send([1], to: far.address)
            // It is always ready for whoever watches.
            try await until { far.watched == [] }
            #expect(try await far.receive().bytes == [1])
            near.close()
            far.close()
        }
    }

    @Test func fault42_anIPv6SocketHearsWhatAnIPv4PeerReturns() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.bind(host: "::", port: 0, UDPOptions(isIPv6Only: false, reportsUndelivered: true))
            let gone = [try nobody(), try SocketAddress(host: "::1", port: nobody().port)]
            for address in gone {
                try await near.send([1], to: address)
                let error = await #expect(throws: LoopError.self) { try await near.receive() }
                #expect("\(try #require(error))".hasPrefix("receive \(address): a datagram sent earlier was not delivered: connection refused"))
            }
            try near.setTimeToLive(5)
            near.close()
        }
    }

    /// They would be ready again and again for a sender that waits for room.
    @Test func fault42_errorsAreTakenOverWhileASenderWaits() async throws {
        try await withLoop {
            let (socket, transport) = try scripted([.noRoom], UDPOptions(reportsUndelivered: true))
            let target = try SocketAddress(host: "127.0.0.1", port: 9)
            let sending = LoopTask { try await socket.send([1], to: target) }
            try await until { sending.isWaiting }
            let refused = ReturnedError(error: UVError(code: -111, call: "recvmsg"), destination: nil)
            transport.returned = [refused, refused]
            transport.fails()
            #expect(transport.returned.isEmpty)
            try await until { transport.watched == .writable }
            transport.script = []
            transport.becomeReady(.writable)
            try await sending.value
            for _ in 0..<2 { await expectCode(.undelivered) { try await socket.receive() } }
            #expect(try socket.tryReceive() == nil)
            socket.close()
        }
    }

    // MARK: a flood

    @Test func fault42_aFloodToAStalledReaderIsBoundedAndCounted() async throws {
        try await withLoop(clock: .system) {
            let sent = 100_000
            let near = try UDPSocket.local(), far = try UDPSocket.local { $0.receiveBufferSize = 200_000 }
            #expect(try far.droppedCount() == 0)
            let content = counted(0..<100)
            for number in 0..<sent {
                #expect(try near.trySend(content, to: far.address))
                if number % 1000 == 0 { try await LoopTask.yield() }
            }
            let dropped = try far.droppedCount()
            var received = 0
            while true {
                guard let datagram = try far.tryReceive() else { break }
                #expect(datagram.bytes == content)
                received += 1
            }
            #expect(received > 0)
            // Each takes more than its bytes in the kernel, out of twice what was asked for.
            #expect(received * content.count < 400_000)
            #expect(received + Int(dropped) == sent)
            #expect(try far.droppedCount() == dropped)
            // It goes on as before.
            try await near.send([1], to: far.address)
            #expect(try await far.receive().bytes == [1])
            near.close()
            far.close()
            #expect(try far.droppedCount() == dropped)
        }
    }

    // MARK: no room

    @Test func fault42_aSendWaitsForRoomAndKeepsTheOrder() async throws {
        try await withLoop {
            let (socket, transport) = try scripted([.noRoom])
            let target = try SocketAddress(host: "127.0.0.1", port: 9)
            let sending = (0..<5).map { number in LoopTask { try await socket.send([UInt8(number)], to: target) } }
            let batch = LoopTask { try await socket.send(batch: [OutgoingDatagram([5], to: target), OutgoingDatagram([6], to: target)]) }
            try await until { sending.allSatisfy(\.isWaiting) && batch.isWaiting }
            #expect(transport.watched == .writable)
            #expect(try !socket.trySend([9], to: target))
            #expect(transport.sent.isEmpty)
            // Woken for nothing.
            transport.becomeReady(.writable)
            try await until { transport.watched == .writable }
            #expect(transport.sent.isEmpty)
            transport.script = []
            transport.becomeReady(.writable)
            for task in sending { try await task.value }
            #expect(try await batch.value == 2)
            #expect(transport.sent == (0..<7).map { [UInt8($0)] })
            #expect(transport.watched == [])
            #expect(socket.loop.outstanding == 0)
            socket.close()
        }
    }

    @Test(arguments: 0..<20)
    func fault42_aSendThatWasCancelledHasSentNothing(seed: UInt64) async throws {
        // A virtual clock would stand still while somebody waits for room.
        try await withLoop(clock: .system) {
            let (socket, transport) = try scripted([.noRoom])
            let target = try SocketAddress(host: "127.0.0.1", port: 9)
            var random = Seeded(seed)
            var tasks: [LoopTask<Void>] = []
            for number in 0..<200 {
                tasks.append(LoopTask { try await socket.send([UInt8(number)], to: target) })
                transport.script = [[.noRoom, .noMemory, .room].randomElement(using: &random) ?? .room]
                switch Int.random(in: 0..<4, using: &random) {
                case 0: transport.becomeReady(.writable)
                case 1: tasks.randomElement(using: &random)?.cancel()
                case 2: try await LoopTask.sleep(for: .milliseconds(1))
                default: try await LoopTask.yield()
                }
            }
            transport.script = []
            transport.becomeReady(.writable)
            var successful: [[UInt8]] = []
            for (number, task) in tasks.enumerated() {
                do {
                    try await task.value
                    successful.append([UInt8(number)])
                } catch is CancelledError {}
            }
            #expect(transport.sent == successful)
            #expect(successful.count > 50 && successful.count < 200)
            #expect(socket.loop.outstanding == 0)
            socket.close()
        }
    }

    @Test func fault42_withoutMemoryASendTriesAgainForAWhile() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let (socket, transport) = try scripted([.noMemory, .noMemory, .noMemory, .noMemory, .room])
            let target = try SocketAddress(host: "127.0.0.1", port: 9)
            let began = loop.now
            #expect(try !socket.trySend([1], to: target))
            try await socket.send([1], to: target)
            // One attempt of trySend, one at once, then after 1 and after 2 ms.
            #expect(began.duration(to: loop.now) == .milliseconds(3))
            #expect(transport.sent == [[1]])
            transport.script = [.noMemory]
            // Who is in line behind it gets the same answer, and as much time.
            let next = LoopTask {
                try await LoopTask.yield()
                try await socket.send([9], to: target)
            }
            let error = await #expect(throws: LoopError.self) { try await socket.send([2], to: target) }
            #expect("\(try #require(error))" == "send 127.0.0.1:9: no buffer space available (ENOBUFS); the system had no memory for it, again and again")
            #expect(began.duration(to: loop.now) == .milliseconds(3 + 511))
            #expect(transport.attempts == 5 + 1 + UDPSocket.maximumAttempts)
            await expectCode(.system) { try await next.value }
            #expect(began.duration(to: loop.now) == .milliseconds(3 + 511 + 511))
            transport.script = []
            try await socket.send([3], to: target)
            #expect(transport.sent == [[1], [3]])
            socket.close()
        }
    }

    @Test func closeDuringSendThrowsClosedForAllWhoWait() async throws {
        try await withLoop {
            for answer in [ScriptedTransport.Answer.noRoom, .noMemory] {
                let (socket, _) = try scripted([answer])
                let target = try SocketAddress(host: "127.0.0.1", port: 9)
                let sending = (0..<3).map { _ in LoopTask { try await socket.send([1], to: target) } }
                let batch = LoopTask { try await socket.send(batch: [OutgoingDatagram([1], to: target)]) }
                try await until { sending.allSatisfy(\.isWaiting) && batch.isWaiting }
                socket.close()
                for task in sending { await expectCode(.closed) { try await task.value } }
                await expectCode(.closed) { try await batch.value }
                #expect(socket.loop.outstanding == 0)
            }
        }
    }

    @Test func whenWatchingFailsWhoeverWaitsIsTold() async throws {
        try await withLoop {
            let (socket, transport) = try scripted([.noRoom])
            let target = try SocketAddress(host: "127.0.0.1", port: 9)
            transport.watchFails = true
            await expectCode(.system) { try await socket.send([1], to: target) }
            await expectCode(.system) { try await socket.receive() }
            #expect(socket.loop.outstanding == 0)
            socket.close()
        }
    }

    // MARK: groups

    @Test func aGroupIsHeardByThoseWhoHaveJoined() async throws {
        try await withLoop(clock: .system) {
            var options = UDPOptions()
            options.reusesAddress = true
            let first = try UDPSocket.bind(host: "0.0.0.0", port: 0, options)
            let second = try UDPSocket.bind(host: "0.0.0.0", port: first.address.port, options)
            let stranger = try UDPSocket.bind(host: "0.0.0.0", port: first.address.port, options)
            let sender = try UDPSocket.local()
            let group = try SocketAddress(host: "239.77.1.2", port: first.address.port)
            try first.joinGroup("239.77.1.2", interface: "lo")
            try second.joinGroup("239.77.1.2", interface: "lo")
            try sender.setMulticastInterface("lo")
            try sender.setMulticastTimeToLive(0)
            #expect(try sender.transport.value(of: .multicastHops) == 0)
            try await sender.send([1], to: group)
            #expect(try await first.receive() == Datagram(bytes: [1], sender: sender.address))
            #expect(try await second.receive().bytes == [1])
            try first.leaveGroup("239.77.1.2", interface: "lo")
            try await sender.send([2], to: group)
            #expect(try await second.receive().bytes == [2])
            #expect(try first.tryReceive() == nil)
            #expect(try stranger.tryReceive() == nil)
            #expect(try sender.transport.value(of: .multicastLoop) == 1)
            try sender.setMulticastLoopback(false)
            #expect(try sender.transport.value(of: .multicastLoop) == 0)
            for socket in [first, second, stranger, sender] { socket.close() }
        }
    }

    @Test func aGroupCanBeJoinedForOneSource() async throws {
        try await withLoop(clock: .system) {
            let receiver = try UDPSocket.bind(host: "0.0.0.0", port: 0)
            let group = try SocketAddress(host: "232.77.1.3", port: receiver.address.port)
            let wanted = try UDPSocket.bind(host: "127.0.0.5", port: 0), other = try UDPSocket.bind(host: "127.0.0.6", port: 0)
            for sender in [wanted, other] { try sender.setMulticastInterface("lo") }
            try receiver.joinGroup("232.77.1.3", interface: "lo", source: "127.0.0.5")
            try await other.send([1], to: group)
            try await wanted.send([2], to: group)
            #expect(try await receiver.receive() == Datagram(bytes: [2], sender: wanted.address))
            #expect(try receiver.tryReceive() == nil)
            try receiver.leaveGroup("232.77.1.3", interface: "lo", source: "127.0.0.5")
            try await wanted.send([3], to: group)
            #expect(try receiver.tryReceive() == nil)
            for socket in [receiver, wanted, other] { socket.close() }
        }
    }

    @Test func aGroupOfIPv6IsHeardToo() async throws {
        try await withLoop(clock: .system) {
            var options = UDPOptions()
            options.tellsDestination = true
            let receiver = try UDPSocket.bind(host: "::", port: 0, options), sender = try UDPSocket.bind(host: "::", port: 0)
            defer {
                receiver.close()
                sender.close()
            }
            try receiver.joinGroup("ff02::77:2%lo")
            await expectCode(.system) { try receiver.joinGroup("ff02::77:2", interface: "lo") }
            try receiver.leaveGroup("ff02::77:2", interface: "lo")
            await expectCode(.system) { try receiver.leaveGroup("ff02::77:2%lo") }
            try sender.setMulticastTimeToLive(0)
            #expect(try sender.transport.value(of: .multicastHops) == 0)
            // The loopback interface has no route for groups; others have, if they have IPv6 at all.
            guard let interface = try interfaceWithIPv6() else { return }
            try receiver.joinGroup("ff02::77:2", interface: interface)
            let group = try SocketAddress(host: "ff02::77:2%\(interface)", port: receiver.address.port)
            try await sender.send([1], to: group)
            let datagram = try await receiver.receive()
            #expect(datagram.bytes == [1])
            #expect(datagram.destination == group)
            #expect(datagram.sender.port == sender.address.port)
        }
    }

    private func interfaceWithIPv6() throws -> String? {
        let lines = try String(contentsOfFile: "/proc/net/if_inet6", encoding: .utf8).split(separator: "\n")
        return lines.filter { $0.hasPrefix("fe80") }.compactMap { $0.split(separator: " ").last.map { String($0) } }.first
    }

    @Test func groupErrorsSayWhatIsWrong() async throws {
        try await withLoop(clock: .system) {
            let socket = try UDPSocket.local()
            await expectCode(.invalidAddress) { try socket.joinGroup("127.0.0.1") }
            await expectCode(.invalidAddress) { try socket.joinGroup("ff02::1%lo") }
            await expectCode(.invalidAddress) { try socket.joinGroup("example.com") }
            await expectCode(.invalidAddress) { try socket.joinGroup("239.1.1.1", interface: "lo", source: "::1") }
            for interface in ["none7", "lo\0"] {
                let missing = #expect(throws: LoopError.self) { try socket.joinGroup("239.1.1.1", interface: interface) }
                #expect("\(try #require(missing))" == "joinGroup \(interface): no such interface (ENODEV)")
            }
            try socket.joinGroup("239.1.1.1", interface: "lo")
            let twice = #expect(throws: LoopError.self) { try socket.joinGroup("239.1.1.1", interface: "lo") }
            #expect("\(try #require(twice))".hasPrefix("joinGroup 239.1.1.1 on lo: address already in use (EADDRINUSE); the socket has joined"))
            let never = #expect(throws: LoopError.self) { try socket.leaveGroup("239.1.1.2", interface: "lo") }
            #expect("\(try #require(never))".hasPrefix("leaveGroup 239.1.1.2 on lo: address not available (EADDRNOTAVAIL); the socket has not joined"))
            await expectCode(.misuse) { try socket.setMulticastTimeToLive(256) }
            await expectCode(.system) { try socket.setMulticastInterface("none7") }
            try socket.setMulticastInterface("lo")
            try socket.setMulticastInterface(nil)
            socket.close()
        }
    }
}

// MARK: a transport that does what it is told

private func scripted(_ script: [ScriptedTransport.Answer], _ options: UDPOptions = UDPOptions()) throws -> (UDPSocket, ScriptedTransport) {
    let transport = ScriptedTransport(try SocketAddress(host: "127.0.0.1", port: 7), script)
    let loop = try EventLoop.requireCurrent("scripted")
    return (UDPSocket(transport, options, on: loop, file: #fileID, line: #line), transport)
}

private final class ScriptedTransport: DatagramTransport, @unchecked Sendable {
    // Sendable: touched on one loop's thread only.
    enum Answer { case room, noRoom, noMemory }

    /// The next answers; the last one goes on for ever, none is room.
    var script: [Answer]
    var sent: [[UInt8]] = []
    var attempts = 0
    var watched: UVPoll.Events = []
    var watchFails = false
    var returned: [ReturnedError] = []
    private var onReady: ((UVPoll.Events?) -> Void)?
    let localAddress: SocketAddress
    let peerAddress: SocketAddress? = nil
    var isClosed = false
    let descriptor: Int32 = -1

    init(_ address: SocketAddress, _ script: [Answer]) {
        localAddress = address
        self.script = script
    }

    func becomeReady(_ events: UVPoll.Events) {
        if watched.isSuperset(of: events) { onReady?(events) }
    }

    func fails() {
        watched = []
        onReady?(nil)
    }

    private func answer() throws(UVError) {
        attempts += 1
        guard let answer = script.first else { return }
        if script.count > 1 { script.removeFirst() }
        switch answer {
        case .room: return
        case .noRoom: throw UVError(code: -11, call: "send")
        case .noMemory: throw UVError(code: -105, call: "send")
        }
    }

    func send(_ bytes: Span<UInt8>, to address: SocketAddress?) throws(UVError) {
        try answer()
        sent.append(bytes.indices.map { bytes[$0] })
    }

    func send(_ datagrams: ArraySlice<OutgoingDatagram>) throws(UVError) -> Int {
        try answer()
        sent += datagrams.map(\.bytes)
        return datagrams.count
    }

    func watch(_ events: UVPoll.Events, _ onReady: @escaping (UVPoll.Events?) -> Void) throws(UVError) {
        if watchFails { throw UVError(code: -12, call: "watch") }
        watched = events
        self.onReady = onReady
    }

    func receive(atMost limit: Int, keeping size: Int, _ body: (Datagram) -> Void) throws(UVError) -> Int { throw UVError(code: -11, call: "receive") }
    func takeReturnedError() throws(UVError) -> ReturnedError? { returned.isEmpty ? nil : returned.removeFirst() }
    func set(_ option: DatagramOption, _ value: Int32) throws(UVError) {}
    func value(of option: DatagramOption) throws(UVError) -> Int32 { 0 }
    func setMembership(_ isMember: Bool, of group: SocketAddress, from source: SocketAddress?, interface: UInt32) throws(UVError) {}
    func dropped() throws(UVError) -> UInt32 { 0 }

    func close() {
        isClosed = true
        onReady = nil
    }
}
