import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// Two connected streams that take descriptors, for the time of `body`.
private func withPassingPair(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable (_ near: UnixStream, _ far: UnixStream) async throws -> Void
) async throws {
    try await withLoop(clock: .system, sourceLocation: sourceLocation) {
        let (near, far) = try UnixStream.pair(acceptsDescriptors: true)
        let loop = near.loop
        do {
            try await body(near, far)
        } catch {
            near.abort()
            far.abort()
            throw error
        }
        near.abort()
        far.abort()
        #expect(loop.chunks.taken == 0, sourceLocation: sourceLocation)
        #expect(loop.outstanding == 0, sourceLocation: sourceLocation)
    }
}

@Suite struct PassingTests {
    @Test func descriptorsComeInOrderAndNotAfterTheirBytes() async throws {
        try await withPassingPair { near, far in
            let files = try (0..<3).map { try marker("file \($0)") }
            try await near.write("before".utf8)
            try await near.send(Array("one".utf8), descriptors: [files[0]])
            try await near.send(Array("two".utf8), descriptors: [files[1], files[2]])
            try await near.write("after".utf8)
            try near.closeWrite()
            var bytes: [UInt8] = []
            var passed: [String] = []
            while let arrival = try await far.receive(atMost: 4) {
                #expect(arrival.bytes.count <= 4 && !arrival.hasLostDescriptors)
                bytes += arrival.bytes
                passed += try arrival.descriptors.map { try text($0) }
                // Behind the first byte of "one", and of "two".
                if bytes.count > 6 { #expect(passed.first == "file 0") }
                if bytes.count > 9 { #expect(passed.count == 3) } else { #expect(passed.count <= 1) }
            }
            #expect(bytes == Array("beforeonetwoafter".utf8))
            #expect(passed == ["file 0", "file 1", "file 2"])
            // The sender's own are still its own.
            #expect(try files.map { try text($0) } == ["file 0", "file 1", "file 2"])
        }
    }

    @Test func aConnectionAcceptedHereCanBeServedThere() async throws {
        try await withPassingPair { near, far in
            let (client, accepted) = try await connectedPair()
            let copy = try accepted.duplicateDescriptor()
            try await accepted.close()
            try await near.send([1], descriptors: [copy])
            copy.close()
            let arrival = try #require(try await far.receive())
            let served = try TCPStream(adopting: try #require(arrival.descriptors.first))
            #expect(arrival.descriptors.first?.fileNumber == nil)
            #expect(served.peerAddress == (try client.localAddress()))
            try await client.write("hello".utf8)
            #expect(try await served.read(exactly: 5) == Array("hello".utf8))
            try await served.close()
            #expect(try await client.read() == nil)
            client.abort()
        }
    }

    @Test func cancelDuringReceiveLeavesBytesAndDescriptorsForTheNext() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            let receiving = LoopTask { try await far.receive() }
            try await until { receiving.isWaiting }
            try await near.send([7], descriptors: [file])
            try await until { far.core.available == 1 }
            receiving.cancel()
            await #expect(throws: CancelledError.self) { _ = try await receiving.value }
            let arrival = try #require(try await far.receive())
            #expect(arrival.bytes == [7] && arrival.descriptors.count == 1)
        }
    }

    @Test func closeDuringReceiveThrowsClosed() async throws {
        try await withPassingPair { near, far in
            let receiving = LoopTask { _ = try await far.receive() }
            try await until { receiving.isWaiting }
            far.abort()
            await expectCode(.closed) { try await receiving.value }
            await expectCode(.closed) { _ = try await far.receive() }
            await expectCode(.closed) { try far.duplicateDescriptor() }
        }
    }

    @Test func descriptorsThatNobodyTakesAreClosed() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            #expect(try openCount(file) == 1)
            // Read past.
            try await near.send([1, 2], descriptors: [file, file])
            try far.core.transport?.startReading()
            try await until { far.core.available == 2 }
            #expect(try openCount(file) == 3)
            #expect(try await far.read(exactly: 1) == [1])
            // They may have come with the second byte.
            #expect(try openCount(file) == 3)
            #expect(try await far.withBytes { $0.count } == 1)
            #expect(try openCount(file) == 1)
            // Taken, and let go of.
            try await near.send([1, 2], descriptors: [file, file])
            #expect(try await far.read(exactly: 1) == [1])
            #expect(try await far.receive()?.descriptors.count == 2)
            #expect(try openCount(file) == 1)
            // Not read at all when the stream is closed: those that have arrived, and those that have not.
            for _ in 0..<5 { try await near.send([3], descriptors: [file]) }
            try far.core.transport?.startReading()
            try await until { far.core.available == 5 }
            far.core.transport?.stopReading()
            try await near.send([3], descriptors: [file])
            #expect(try openCount(file) == 6)
            far.abort()
            #expect(try openCount(file) == 1)
        }
    }

    /// The kernel closes what a plain read does not ask for.
    @Test func aStreamThatTakesNoDescriptorsReadsTheBytesAndLeaksNothing() async throws {
        try await withUnixPair { near, far in
            let file = try marker()
            try await near.send(Array("abc".utf8), descriptors: [file])
            #expect(try await far.read(exactly: 3) == Array("abc".utf8))
            #expect(try openCount(file) == 1)
            await expectCode(.misuse) { _ = try await far.receive() }
        }
    }

    @Test func whatMayNotBeSentIsMisuse() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            await expectCode(.misuse) { try await near.send([], descriptors: [file]) }
            await expectCode(.misuse) { try await near.send([1], descriptors: Array(repeating: file, count: UnixStream.maximumDescriptors + 1)) }
            try await near.send([2], descriptors: Array(repeating: file, count: UnixStream.maximumDescriptors))
            #expect(try await far.receive()?.descriptors.count == UnixStream.maximumDescriptors)
            file.close()
            await expectCode(.misuse) { try await near.send([1], descriptors: [file]) }
            await expectCode(.misuse) { _ = try await far.receive(atMost: 0) }
            // None of that has hurt the stream.
            try await near.write([3])
            #expect(try await far.read() == [3])
        }
    }

    // MARK: flow

    @Test func sendingWaitsForItsTurnAndForRoom() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            let sent = Shared<[UInt8]>([])
            let writer = try await near.fillUpUnix(sent)
            let sending = LoopTask { try await near.send([200, 201], descriptors: [file]) }
            try await until { sending.isWaiting }
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            let last = LoopTask {
                try await near.write([202])
                try near.closeWrite()
            }
            var bytes: [UInt8] = []
            var place: Int?
            while let arrival = try await far.receive() {
                if !arrival.descriptors.isEmpty { place = bytes.count }
                bytes += arrival.bytes
            }
            try await sending.value
            try await last.value
            #expect(bytes == sent.value + [200, 201, 202])
            #expect(try #require(place) <= sent.value.count)
        }
    }

    @Test func cancelWhileSendingWaitsHasSentNothing() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            let sent = Shared<[UInt8]>([])
            let writer = try await near.fillUpUnix(sent)
            let sending = LoopTask { try await near.send([200], descriptors: [file]) }
            try await until { sending.isWaiting }
            sending.cancel()
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await sending.value }
            await #expect(throws: CancelledError.self) { try await writer.value }
            let end = LoopTask { try near.closeWrite() }
            var bytes: [UInt8] = []
            while let arrival = try await far.receive() {
                #expect(arrival.descriptors.isEmpty)
                bytes += arrival.bytes
            }
            try await end.value
            #expect(bytes == sent.value)
            #expect(try openCount(file) == 1)
        }
    }

    /// Nothing is queued, and the socket is full: what is waited for is the socket itself.
    @Test func cancelAndCloseWhileTheSocketIsFullLeaveNoWatcher() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            while try Sockets.send(try #require(near.core.transport?.descriptor), counted(0..<65_536).span) > 0 {}
            let before = try openCount(try near.duplicateDescriptor())
            for isCancelled in [true, false] {
                let sending = LoopTask { try await near.send([1], descriptors: [file]) }
                try await until { sending.isWaiting }
                #expect(try openCount(try near.duplicateDescriptor()) == before + 1)
                if isCancelled {
                    sending.cancel()
                    await #expect(throws: CancelledError.self) { try await sending.value }
                    #expect(try openCount(try near.duplicateDescriptor()) == before)
                } else {
                    near.abort()
                    await expectCode(.closed) { try await sending.value }
                }
            }
        }
    }

    @Test func aPeerThatSendsMoreThanAreHeldWaitsAndNothingIsLost() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            let sender = LoopTask {
                for value in 0..<1000 { try await near.send([UInt8(truncatingIfNeeded: value)], descriptors: [file, file]) }
                try near.closeWrite()
            }
            // Reading on without a reader, until it stops by itself.
            try far.core.transport?.startReading()
            try await until { far.core.transport?.isReading == false }
            #expect(try openCount(file) <= 1 + 2 * UnixStream.maximumDescriptors)
            var count = 0
            while let arrival = try await far.receive() {
                #expect(arrival.bytes == [UInt8(truncatingIfNeeded: count)] && arrival.descriptors.count == 2)
                count += 1
            }
            try await sender.value
            #expect(count == 1000)
            #expect(try openCount(file) == 1)
        }
    }

    @Test func aReadThatWouldHoldMoreDescriptorsThanFitFails() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            let reader = LoopTask { try await far.read(exactly: 1000) }
            let sender = LoopTask { for _ in 0..<1000 { try await near.send([1], descriptors: [file]) } }
            await expectSystem("ETOOMANYREFS") { _ = try await reader.value }
            // What has come can be taken, and then there is room.
            var count = 0
            while count < 1000, let arrival = try await far.receive() { count += arrival.descriptors.count }
            try await sender.value
            #expect(count == 1000)
        }
    }

    @Test func bytesGoBothWaysLikeOnAnyStream() async throws {
        try await withPassingPair { near, far in
            let there = LoopTask {
                try await near.write(pattern(300_000))
                try near.closeWrite()
            }
            let back = LoopTask {
                try await far.write(pattern(300_000))
                try far.closeWrite()
            }
            let received = LoopTask {
                var bytes: [UInt8] = []
                while let more = try await far.read() { bytes += more }
                return bytes
            }
            var bytes: [UInt8] = []
            while let more = try await near.read() { bytes += more }
            #expect(bytes == pattern(300_000))
            #expect(try await received.value == pattern(300_000))
            try await there.value
            try await back.value
            try await near.close()
            try await far.close()
        }
    }

    @Test func fault37_aWriteToAPeerThatHasClosedIsALostConnectionWithDescriptorsToo() async throws {
        try await withPassingPair { near, far in
            let file = try marker()
            try await far.close()
            // A program that another test starts at this moment has a copy of the far end until it runs.
            await expectCode(.connectionLost) { while true { try await near.send([1], descriptors: [file]) } }
            await expectCode(.connectionLost) { try await near.write([1]) }
            do {
                #expect(try await near.receive()?.bytes == nil)
            } catch let error as LoopError where error.code == .connectionLost {
                // That copy went with bytes unread.
            }
            #expect(try openCount(file) == 1)
        }
    }

    @Test func aCloseSendsWhatWasWritten() async throws {
        try await withPassingPair { near, far in
            let bytes = pattern(60_000)
            let writing = LoopTask {
                for _ in 0..<20 { try await near.write(bytes) }
                try await near.close()
            }
            var count = 0
            while let more = try await far.read() { count += more.count }
            try await writing.value
            #expect(count == 1_200_000)
        }
    }

    @Test func aThousandDescriptorsArePassedAndNoneIsLeft() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("UnixProbe", "pass").end() }
        #expect(lines == ["passed 1000, 0 descriptors left"], "\(lines)")
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }

    /// The bytes come, and a flag.
    @Test func aReceiverWithoutFreeDescriptorsIsToldThatSomeWereLost() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("UnixProbe", "full", descriptors: 64).end() }
        #expect(lines == ["received 3 bytes, lost true", "received 3 bytes, 10 descriptors, lost false", "0 descriptors left"], "\(lines)")
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }
}

extension UnixStream {
    /// As `TCPStream.fillUp`.
    fileprivate func fillUpUnix(_ sent: Shared<[UInt8]>) async throws -> LoopTask<Void> {
        let writer = LoopTask {
            var value: UInt8 = 0
            while true {
                value = (value &+ 1) % 100
                let bytes = [UInt8](repeating: value, count: 10_000)
                try await self.write(bytes)
                sent.value += bytes
            }
        }
        try await until { writer.isWaiting && pendingBytes > core.highWater - 10_000 }
        return writer
    }
}
