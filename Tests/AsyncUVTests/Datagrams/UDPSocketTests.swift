import Foundation
import Testing
import UVCore
@testable import AsyncUV

extension UDPSocket {
    static func local(_ change: (inout UDPOptions) -> Void = { _ in }) throws -> UDPSocket {
        var options = UDPOptions()
        change(&options)
        return try bind(host: "127.0.0.1", port: 0, options)
    }
}

/// An address at which nobody receives: of a socket that was just closed, at an address that no other test uses.
func nobody() throws -> SocketAddress {
    let socket = try UDPSocket.bind(host: "127.8.8.8", port: 0)
    defer { socket.close() }
    return socket.address
}

@Suite struct UDPSocketTests {
    @Test(arguments: [EventLoop.Clock.system, .virtual])
    func aDatagramArrivesWithItsSender(clock: EventLoop.Clock) async throws {
        try await withLoop(clock: clock) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let receiving = LoopTask { try await far.receive() }
            try await until { receiving.isWaiting }
            try await near.send([1, 2, 3], to: far.address)
            let datagram = try await receiving.value
            #expect(datagram == Datagram(bytes: [1, 2, 3], sender: near.address))
            #expect(!datagram.isTruncated)
            // And what is there already.
            try await far.send([4], to: datagram.sender)
            #expect(try await near.receive().bytes == [4])
            #expect(near.loop.outstanding == 0)
            near.close()
            far.close()
        }
    }

    @Test func datagramsComeInTheirOrder() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            for number in 0..<200 { try await near.send([UInt8(number)], to: far.address) }
            for number in 0..<200 { #expect(try await far.receive().bytes == [UInt8(number)]) }
            near.close()
            far.close()
        }
    }

    @Test func severalDatagramsAreSentAndReceivedAtOnce() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let sent = (0..<100).map { OutgoingDatagram([UInt8](repeating: UInt8($0), count: $0 * 10), to: far.address) }
            var rest = sent[...]
            var counts: [Int] = []
            while !rest.isEmpty {
                counts.append(try await near.send(batch: rest))
                rest = rest.dropFirst(counts[counts.count - 1])
            }
            #expect(counts == [32, 32, 32, 4])
            var received: [Datagram] = []
            while received.count < 100 {
                let datagrams = try await far.receive(atMost: 1000)
                #expect(datagrams.count <= UDPSocket.maximumBatch)
                received += datagrams
            }
            #expect(received.map(\.bytes) == sent.map(\.bytes))
            #expect(received.allSatisfy { $0.sender == near.address })
            #expect(try await near.send(batch: []) == 0)
            await expectCode(.misuse) { try await far.receive(atMost: 0) }
            near.close()
            far.close()
        }
    }

    /// What is wrong with one of several is thrown when it is the first, and those before it have been sent.
    @Test func aBatchSaysHowManyWentOut() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            for wrong in [
                OutgoingDatagram([UInt8](repeating: 0, count: 70_000), to: far.address), OutgoingDatagram([UInt8](repeating: 0, count: 65_508), to: far.address),
                OutgoingDatagram([9]), OutgoingDatagram([9], to: try SocketAddress(host: "127.0.0.1", port: 0)),
            ] {
                let batch = [OutgoingDatagram([1], to: far.address), OutgoingDatagram([2], to: far.address), wrong, OutgoingDatagram([3], to: far.address)]
                #expect(try await near.send(batch: batch) == 2)
                await #expect(throws: LoopError.self) { try await near.send(batch: batch[2...]) }
                #expect(try await far.receive(atMost: 10).map(\.bytes) == [[1], [2]])
                #expect(try far.tryReceive() == nil)
            }
            near.close()
            far.close()
        }
    }

    @Test func tryingDoesNotWait() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            #expect(try far.tryReceive() == nil)
            #expect(try near.trySend([7], to: far.address))
            #expect(try far.tryReceive()?.bytes == [7])
            let receiving = LoopTask { try await far.receive() }
            try await until { receiving.isWaiting }
            #expect(try near.trySend([8], to: far.address))
            // It is for the one who waits.
            #expect(try far.tryReceive() == nil)
            #expect(try await receiving.value.bytes == [8])
            near.close()
            far.close()
        }
    }

    @Test func aConnectedSocketHearsNobodyButItsPeer() async throws {
        try await withLoop(clock: .system) {
            let peer = try UDPSocket.local(), stranger = try UDPSocket.local()
            let socket = try UDPSocket.connect(to: peer.address, from: SocketAddress(host: "127.0.0.1", port: 0))
            #expect(socket.peerAddress == peer.address)
            try await stranger.send([1], to: socket.address)
            try await socket.send([2])
            let request = try await peer.receive()
            #expect(request.sender == socket.address)
            try await peer.send([3], to: request.sender)
            #expect(try await socket.receive() == Datagram(bytes: [3], sender: peer.address))
            #expect(try socket.tryReceive() == nil)
            try await socket.send([4], to: peer.address)
            await expectCode(.misuse) { try await socket.send([5], to: stranger.address) }
            #expect(try await socket.send(batch: [OutgoingDatagram([5]), OutgoingDatagram([5], to: stranger.address)]) == 1)
            #expect(try await socket.send(batch: [OutgoingDatagram([6]), OutgoingDatagram([7], to: peer.address)]) == 2)
            #expect(try await peer.receive(atMost: 9).map(\.bytes) == [[4], [5], [6], [7]])
            #expect("\(socket)" == "UDP socket at \(socket.address) to \(peer.address)")
            for socket in [peer, stranger, socket] { socket.close() }
        }
    }

    /// What others send between bind and connect must not come in.
    @Test func aConnectedSocketHearsNobodyElseFromTheStart() async throws {
        // Of a port that the system gives to nobody who leaves the choice to it.
        let address = try SocketAddress(host: "127.8.8.8", port: 12_000 + Int(getpid()) % 10_000)
        let mayEnd = Shared(false)
        let lock = ThreadLock()
        let flooding = Task.detached {
            try await withLoop(clock: .system) {
                let stranger = try UDPSocket.local()
                while !lock.withLock({ mayEnd.value }) {
                    for _ in 0..<100 { _ = try stranger.trySend([1], to: address) }
                    try await LoopTask.yield()
                }
                stranger.close()
            }
        }
        try await withLoop(clock: .system) {
            let peer = try UDPSocket.local()
            for _ in 0..<1000 {
                let socket: UDPSocket
                do {
                    socket = try UDPSocket.connect(to: peer.address, from: address)
                } catch let error as LoopError where error.systemCode == EADDRINUSE {
                    // A program that another test starts at this moment has a copy of the last one until it runs.
                    try await LoopTask.sleep(for: .milliseconds(1))
                    continue
                }
                #expect(try socket.tryReceive() == nil)
                socket.close()
            }
            peer.close()
        }
        lock.withLock { mayEnd.value = true }
        try await flooding.value
    }

    // MARK: several tasks

    @Test func severalReceiversAreServedFirstComeFirstServed() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let order = Shared<[[UInt8]]>([])
            let receiving = (0..<5).map { number in
                LoopTask { order.value.append([UInt8(number)] + (try await far.receive().bytes)) }
            }
            try await until { receiving.allSatisfy(\.isWaiting) }
            for number in 0..<5 { try await near.send([UInt8(number)], to: far.address) }
            for task in receiving { try await task.value }
            #expect(order.value == (0..<5).map { [$0, $0] })
            near.close()
            far.close()
        }
    }

    @Test func aFloodLeavesTurnsToOthers() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            try await LoopTask.yield()
            var turn = loop.turn
            for _ in 0...UDPSocket.maximumDatagramsPerTurn { try await near.send([1], to: far.address) }
            #expect(loop.turn > turn)
            try await LoopTask.yield()
            turn = loop.turn
            for _ in 0..<UDPSocket.maximumDatagramsPerTurn { _ = try await far.receive() }
            #expect(loop.turn == turn)
            _ = try await far.receive()
            #expect(loop.turn > turn)
            near.close()
            far.close()
        }
    }

    @Test func plainTasksSendAndReceive() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let receiving = Task.detached { (try await far.receive(), try await far.receive(atMost: 1)) }
            let sending = Task.detached {
                try await near.send([1], to: far.address)
                _ = try await near.send(batch: [OutgoingDatagram([2], to: far.address)])
            }
            try await LoopTask.foreign { try await sending.value }
            let received = try await LoopTask.foreign { try await receiving.value }
            #expect(received.0.bytes == [1])
            #expect(received.1.map(\.bytes) == [[2]])
            near.close()
            far.close()
        }
    }

    @Test func iterationGoesOnUntilTheClose() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local { $0.reportsUndelivered = true }
            let received = Shared<[[UInt8]]>([])
            let iterating = LoopTask { for try await datagram in far.datagrams { received.value.append(datagram.bytes) } }
            try await near.send([1], to: far.address)
            try await until { received.value.count == 1 }
            // What is not delivered does not end it.
            try await far.send([1], to: nobody())
            try await near.send([2], to: far.address)
            try await until { received.value.count == 2 && iterating.isWaiting }
            far.close()
            try await iterating.value
            #expect(received.value == [[1], [2]])
            near.close()
        }
    }

    // MARK: cancelling

    @Test func cancelDuringReceiveLeavesTheDatagramForTheNext() async throws {
        try await withLoop(clock: .system) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            let receiving = LoopTask { try await far.receive() }
            try await until { receiving.isWaiting }
            receiving.cancel()
            try await near.send([1], to: far.address)
            await #expect(throws: CancelledError.self) { try await receiving.value }
            #expect(try await far.receive().bytes == [1])
            #expect(near.loop.outstanding == 0)
            near.close()
            far.close()
        }
    }

    /// Receivers are cancelled at any time: before, in, and after the turn in which a datagram has woken them.
    @Test(arguments: 0..<10)
    func fault1_cancelledReceiversLoseNothingAndKeepTheOrder(seed: UInt64) async throws {
        try await withLoop(clock: seed % 2 == 0 ? .system : .virtual) {
            let near = try UDPSocket.local(), far = try UDPSocket.local()
            var random = Seeded(seed)
            let received = Shared<[Int]>([])
            var receivers: [LoopTask<Void>] = []
            var cancelled = 0
            let total = 1000
            var sent = 0
            while received.value.count < total {
                receivers.removeAll { $0.isDone }
                while receivers.count < 3 {
                    let several = Bool.random(using: &random)
                    receivers.append(
                        LoopTask {
                            let datagrams = several ? try await far.receive(atMost: 5) : [try await far.receive()]
                            received.value += datagrams.map { Int($0.bytes[0]) << 8 + Int($0.bytes[1]) }
                        })
                }
                for _ in 0..<Int.random(in: 0...2, using: &random) { try await LoopTask.yield() }
                for _ in 0..<Int.random(in: 0...3, using: &random) where sent < total {
                    try await near.send([UInt8(sent >> 8), UInt8(truncatingIfNeeded: sent)], to: far.address)
                    sent += 1
                }
                for _ in 0..<Int.random(in: 0...2, using: &random) { try await LoopTask.yield() }
                if Bool.random(using: &random), receivers[Int.random(in: 0..<receivers.count, using: &random)].cancel() { cancelled += 1 }
            }
            for task in receivers { task.cancel() }
            for task in receivers { _ = try? await task.value }
            #expect(received.value == [Int](0..<total))
            #expect(cancelled > 100)
            #expect(near.loop.outstanding == 0)
            near.close()
            far.close()
        }
    }

    // MARK: the end

    @Test func closeDuringReceiveThrowsClosedForAllWhoWait() async throws {
        try await withLoop(clock: .system) {
            let socket = try UDPSocket.local()
            let receiving = (0..<3).map { _ in LoopTask { try await socket.receive() } }
            let several = LoopTask { try await socket.receive(atMost: 3) }
            try await until { receiving.allSatisfy(\.isWaiting) && several.isWaiting }
            socket.close()
            socket.close()
            for task in receiving { await expectCode(.closed) { try await task.value } }
            await expectCode(.closed) { try await several.value }
            #expect(socket.loop.outstanding == 0)
        }
    }

    @Test func fault18_everyOperationAfterTheCloseSaysClosed() async throws {
        try await withLoop(clock: .system) {
            let socket = try UDPSocket.local()
            let other = try UDPSocket.local()
            let address = other.address
            socket.close()
            await expectCode(.closed) { try await socket.receive() }
            await expectCode(.closed) { try await socket.receive(atMost: 2) }
            await expectCode(.closed) { try socket.tryReceive() }
            await expectCode(.closed) { try await socket.send([1], to: address) }
            await expectCode(.closed) { try await socket.send(batch: [OutgoingDatagram([1], to: address)]) }
            await expectCode(.closed) { try await socket.send(batch: []) }
            await expectCode(.closed) { try socket.trySend([1], to: address) }
            await expectCode(.closed) { try socket.joinGroup("224.0.0.251") }
            await expectCode(.closed) { try socket.leaveGroup("224.0.0.251") }
            await expectCode(.closed) { try socket.setMulticastTimeToLive(1) }
            await expectCode(.closed) { try socket.setMulticastLoopback(true) }
            await expectCode(.closed) { try socket.setMulticastInterface("lo") }
            await expectCode(.closed) { try socket.setTimeToLive(1) }
            await expectCode(.closed) { try socket.setAllowsBroadcast(true) }
            await expectCode(.closed) { try socket.receiveBufferSize() }
            await expectCode(.closed) { try socket.setReceiveBufferSize(10_000) }
            await expectCode(.closed) { try socket.sendBufferSize() }
            await expectCode(.closed) { try socket.setSendBufferSize(10_000) }
            for try await _ in socket.datagrams { Issue.record("a datagram after the close") }
            #expect(try socket.droppedCount() == 0)
            #expect(socket.isClosed)
            #expect(socket.transport.descriptor == -1)
            other.close()
        }
    }

    @Test func theWrongThreadIsMisuse() async throws {
        try await withLoop(clock: .system) {
            let socket = try UDPSocket.local()
            let address = socket.address
            try await LoopTask.foreign {
                try await onOwnThread {
                    #expect(throws: LoopError.self) { try socket.tryReceive() }
                    #expect(throws: LoopError.self) { try socket.trySend([1], to: address) }
                    #expect(throws: LoopError.self) { try socket.setTimeToLive(3) }
                    #expect(throws: LoopError.self) { try socket.droppedCount() }
                    // Is posted.
                    socket.close()
                }
            }
            try await until { socket.isClosed }
        }
    }

    @Test func bindFromAPlainTaskWithoutALoopIsMisuse() async throws {
        await expectCode(.misuse) { try UDPSocket.local() }
    }

    @Test func aSocketThatIsLetGoOfIsClosedAndReported() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { log("\($0)") }
            _ = try UDPSocket.local()
            #expect(log.entries.count == 1)
            #expect(log.entries.first?.contains("a UDP socket at 127.0.0.1:") == true)
        }
    }

    @Test func fault20_aSocketThatIsLetGoOfOnAnotherThreadIsClosedOnItsLoop() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { [unowned loop] in log("\($0) \(loop.isCurrent)") }
            let holder = Shared<UDPSocket?>(try UDPSocket.local())
            try await LoopTask.foreign { try await onOwnThread { holder.value = nil } }
            try await until { log.entries.count == 1 }
            #expect(log.entries.first?.hasSuffix("true") == true)
        }
    }

    /// Its own callback, in which libuv's UDP handles must not be closed.
    @Test func fault19_theLastReferenceGoesInTheTurnOfItsDatagram() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            loop.setReportHandler { _ in }
            let near = try UDPSocket.local()
            for round in 0..<100 {
                let far = try UDPSocket.local()
                try await near.send([1], to: far.address)
                if round % 2 == 0 {
                    let receiving = LoopTask { try await far.receive() }
                    try await until { receiving.isDone }
                    _ = try await receiving.value
                }
            }
            near.close()
        }
    }

    @Test func aLoopThatClosesClosesItsSockets() async throws {
        let holder = Shared<UDPSocket?>(nil)
        try await onOwnThread {
            let loop = try EventLoop()
            loop.setReportHandler { Issue.record("\($0)") }
            holder.value = try UDPSocket.bind(host: "127.0.0.1", port: 0, on: loop)
            #expect(try loop.close() == ["poll": 1])
            #expect(holder.value?.isClosed == true)
            holder.value = nil
        }
    }

    @Test func everyWayToTheEndGivesTheDescriptorBack() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            loop.setReportHandler { _ in }
            // What a descriptor stands for has a number that does not come again.
            func target(_ descriptor: String) -> String? { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)") }
            var sockets: Set<String> = []
            for _ in 0..<20 {
                let closed = try UDPSocket.local(), cancelled = try UDPSocket.local()
                let connected = try UDPSocket.connect(to: closed.address)
                var dropped: UDPSocket? = try UDPSocket.local()
                for socket in [closed, cancelled, connected, dropped] { sockets.insert(try #require(target("\(socket?.transport.descriptor ?? -1)"))) }
                let receiving = [closed, cancelled].map { socket in LoopTask { try await socket.receive() } }
                try await until { receiving.allSatisfy(\.isWaiting) }
                closed.close()
                receiving[1].cancel()
                for task in receiving { await #expect(throws: (any Error).self) { try await task.value } }
                cancelled.close()
                connected.close()
                dropped = nil
            }
            #expect(sockets.count == 80)
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap(target)
            #expect(sockets.isDisjoint(with: open))
        }
    }

    @Test func aClientThatIsNotOursGetsItsEcho() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("udp-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let input = folder.appendingPathComponent("input"), content = Data(counted(0..<30_000))
        try content.write(to: input)
        let received = try await withLoop(clock: .system) {
            let socket = try UDPSocket.local()
            let echo = LoopTask { for try await datagram in socket.datagrams { try await socket.send(datagram.bytes, to: datagram.sender) } }
            let client = try Tool("socat", "-b4096", "-t10", "-", "UDP:\(socket.address)", input: input.path, output: folder)
            try await eventually { (try? client.received())?.count == content.count }
            client.kill()
            socket.close()
            try await echo.value
            return try client.received()
        }
        #expect(received == content)
    }

    /// A number that the system gives for one family may be somebody's in the other one.
    private func sameNumberOfBoth() throws -> (six: UDPSocket, four: UDPSocket) {
        for _ in 0..<100 {
            let six = try UDPSocket.bind(host: "::", port: 0)
            do {
                return (six, try UDPSocket.bind(host: "0.0.0.0", port: six.address.port))
            } catch let error as LoopError where "\(error)".contains("EADDRINUSE") {
                six.close()
            } catch {
                six.close()
                throw error
            }
        }
        throw LoopError(.system, "bind", "no port that is free in both families")
    }

    // MARK: addresses and options

    @Test func sixAndFourAreWorldsApartUnlessAskedOtherwise() async throws {
        try await withLoop(clock: .system) {
            let (six, four) = try sameNumberOfBoth()
            let client = try UDPSocket.bind(host: "::1", port: 0)
            try await client.send([6], to: SocketAddress(host: "::1", port: six.address.port))
            #expect(try await six.receive() == Datagram(bytes: [6], sender: client.address))
            let error = await #expect(throws: LoopError.self) { try await client.send([4], to: SocketAddress(host: "127.0.0.1", port: four.address.port)) }
            #expect("\(try #require(error))".contains("sends to IPv6 addresses only"))
            for socket in [six, four, client] { socket.close() }

            var options = UDPOptions()
            options.isIPv6Only = false
            options.tellsDestination = true
            let both = try UDPSocket.bind(host: "::", port: 0, options)
            let caller = try UDPSocket.local()
            try await caller.send([4], to: SocketAddress(host: "127.0.0.1", port: both.address.port))
            let request = try await both.receive()
            #expect(request.sender == caller.address)
            #expect(request.destination == (try SocketAddress(host: "127.0.0.1", port: both.address.port)))
            try await both.send([5], to: request.sender)
            _ = try await both.send(batch: [OutgoingDatagram([6], to: request.sender), OutgoingDatagram([7], to: request.sender)])
            #expect(try await caller.receive(atMost: 3).map(\.bytes) == [[5], [6], [7]])
            both.close()
            caller.close()
        }
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func theDestinationIsToldIfAskedFor(host: String) async throws {
        try await withLoop(clock: .system) {
            var options = UDPOptions()
            options.tellsDestination = true
            let far = try UDPSocket.bind(host: host == "::1" ? "::" : "0.0.0.0", port: 0, options)
            let near = try UDPSocket.bind(host: host, port: 0)
            let target = try SocketAddress(host: host, port: far.address.port)
            for size in [0, 5] {
                try await near.send([UInt8](repeating: 1, count: size), to: target)
                let datagram = try await far.receive()
                #expect(datagram.destination == target)
                #expect(datagram.interface == Sockets.interfaceNumber("lo").map { Int($0) })
                #expect(datagram.bytes.count == size)
            }
            near.close()
            far.close()
        }
    }

    @Test func bindErrorsNameTheAddressAndSayWhatToDo() async throws {
        try await withLoop(clock: .system) {
            let socket = try UDPSocket.local()
            let inUse = #expect(throws: LoopError.self) { try UDPSocket.bind(to: socket.address) }
            #expect("\(try #require(inUse))".hasPrefix("bind \(socket.address): address already in use (EADDRINUSE); another socket is bound there"))
            let notOurs = #expect(throws: LoopError.self) { try UDPSocket.bind(host: "192.0.2.1", port: 0) }
            #expect("\(try #require(notOurs))".hasPrefix("bind 192.0.2.1:0: address not available (EADDRNOTAVAIL); no interface"))
            await expectCode(.invalidAddress) { try UDPSocket.bind(host: "example.com", port: 80) }
            await expectCode(.invalidAddress) { try UDPSocket.connect(to: SocketAddress(host: "127.0.0.1", port: 0)) }
            await expectCode(.misuse) { try UDPSocket.connect(to: socket.address, from: SocketAddress(host: "::1", port: 0)) }
            await expectCode(.misuse) { try UDPSocket.local { $0.maximumDatagramSize = 0 } }
            await expectCode(.misuse) { try UDPSocket.local { $0.maximumDatagramSize = 65_536 } }
            await expectCode(.misuse) { try UDPSocket.local { $0.receiveBufferSize = 0 } }
            await expectCode(.misuse) { try UDPSocket.local { $0.sendBufferSize = .max } }
            let link = #expect(throws: LoopError.self) { try UDPSocket.connect(to: SocketAddress(host: "fe80::1", port: 9)) }
            #expect("\(try #require(link))" == "connect [fe80::1]:9: invalid argument (EINVAL); a link-local address needs its interface: fe80::1%eth0")
            let everybody = #expect(throws: LoopError.self) { try UDPSocket.connect(to: SocketAddress(host: "255.255.255.255", port: 9)) }
            #expect("\(try #require(everybody))".hasPrefix("connect 255.255.255.255:9: permission denied (EACCES); a broadcast address needs"))
            let taken = #expect(throws: LoopError.self) { try UDPSocket.connect(to: SocketAddress(host: "127.0.0.1", port: 9), from: socket.address) }
            #expect("\(try #require(taken))".hasPrefix("connect \(socket.address): address already in use (EADDRINUSE); another socket is bound there"))
            await expectCode(.misuse) { try await socket.send([1]) }
            await expectCode(.invalidAddress) { try await socket.send([1], to: SocketAddress(host: "127.0.0.1", port: 0)) }
            socket.close()
        }
    }

    @Test func oneAddressCanBeSharedIfBothSaySo() async throws {
        try await withLoop(clock: .system) {
            let first = try UDPSocket.local { $0.reusesPort = true }
            var options = UDPOptions()
            options.reusesPort = true
            let second = try UDPSocket.bind(to: first.address, options)
            // Each sender goes to one of them, and stays there.
            let senders = try (0..<40).map { _ in try UDPSocket.local() }
            for sender in senders { try await sender.send([1], to: first.address) }
            let counts = [try await first.receive(atMost: 32).count, try await second.receive(atMost: 32).count]
            #expect(counts[0] > 0 && counts[1] > 0)
            for socket in senders + [first, second] { socket.close() }
        }
    }

    @Test func buffersAndHopsCanBeSet() async throws {
        try await withLoop(clock: .system) {
            let socket = try UDPSocket.local {
                $0.receiveBufferSize = 50_000
                $0.sendBufferSize = 60_000
            }
            #expect(try socket.receiveBufferSize() == 50_000)
            #expect(try socket.sendBufferSize() == 60_000)
            try socket.setReceiveBufferSize(20_000)
            try socket.setSendBufferSize(30_000)
            #expect(try socket.receiveBufferSize() == 20_000)
            #expect(try socket.sendBufferSize() == 30_000)
            try socket.setTimeToLive(7)
            #expect(try socket.transport.value(of: .hops) == 7)
            await expectCode(.misuse) { try socket.setTimeToLive(0) }
            await expectCode(.misuse) { try socket.setTimeToLive(256) }
            socket.close()
        }
    }

    @Test func broadcastMustBeAllowed() async throws {
        try await withLoop(clock: .system) {
            let far = try UDPSocket.bind(host: "0.0.0.0", port: 0)
            let near = try UDPSocket.bind(host: "127.0.0.1", port: 0)
            let everybody = try SocketAddress(host: "127.255.255.255", port: far.address.port)
            let error = await #expect(throws: LoopError.self) { try await near.send([1], to: everybody) }
            #expect("\(try #require(error))".hasPrefix("send \(everybody): permission denied (EACCES); a broadcast address needs"))
            try near.setAllowsBroadcast(true)
            try await near.send([1], to: everybody)
            #expect(try await far.receive().sender == near.address)
            let allowed = try UDPSocket.local { $0.allowsBroadcast = true }
            try await allowed.send([2], to: everybody)
            #expect(try await far.receive().bytes == [2])
            for socket in [far, near, allowed] { socket.close() }
        }
    }
}
