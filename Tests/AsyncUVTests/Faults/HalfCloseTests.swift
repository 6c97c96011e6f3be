import Testing
import UVCore
@testable import AsyncUV

/// Who closes a half, and who still has bytes on the way.
@Suite struct HalfCloseTests {
    enum Side: String, CaseIterable {
        case neither, near, far, both
        var isNear: Bool { self == .near || self == .both }
        var isFar: Bool { self == .far || self == .both }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let kind: StreamKind
        let closes: Side
        let pending: Side
        var testDescription: String { "\(kind.testDescription), \(closes) closes, \(pending) has bytes on the way" }

        static let all = StreamKind.twoWay.flatMap { kind in
            Side.allCases.flatMap { closes in Side.allCases.map { Case(kind: kind, closes: closes, pending: $0) } }
        }
    }

    @Test(arguments: Case.all) func fault37_eachHalfEndsOnceAndAfterItsBytesAndTheOtherGoesOn(what: Case) async throws {
        try await withStreams(what.kind) { near, far in
            let fromNear = Shared<[UInt8]>([]), fromFar = Shared<[UInt8]>([])
            try await HalfCloseTests.begin(near, fromNear, isPending: what.pending.isNear, closes: what.closes.isNear)
            try await HalfCloseTests.begin(far, fromFar, isPending: what.pending.isFar, closes: what.closes.isFar)
            let nearReads = LoopTask { what.closes.isFar ? try await near.readAll() : try await near.read(exactly: fromFar.value.count) }
            let farReads = LoopTask { what.closes.isNear ? try await far.readAll() : try await far.read(exactly: fromNear.value.count) }
            let isSame = (near: try await nearReads.value == fromFar.value, far: try await farReads.value == fromNear.value)
            #expect(isSame.near && isSame.far)
            // The end is the end.
            if what.closes.isFar { #expect(try await near.read() == nil) }
            if what.closes.isNear { #expect(try await far.read() == nil) }
            // And the half that is open works.
            if !what.closes.isNear {
                try await near.write([9])
                #expect(try await far.read() == [9])
            }
            if !what.closes.isFar {
                try await far.write([8])
                #expect(try await near.read() == [8])
            }
            try await near.close()
            if !what.closes.isNear { #expect(try await far.read() == nil) }
            if !what.closes.isFar {
                // Nobody is there: the system says so after a write or two.
                let error = await #expect(throws: LoopError.self) {
                    for _ in 0..<100_000 {
                        try await far.write([7])
                        try await LoopTask.yield()
                    }
                }
                #expect(error?.code == .connectionLost)
                await expectCode(.connectionLost) { try await far.write([7]) }
                await expectCode(.connectionLost) { try await far.flush() }
            }
            try await far.close()
            await expectCode(what.closes.isFar ? .closed : .connectionLost) { try await far.write([7]) }
        }
    }

    private static func begin(_ stream: LoopStream, _ sent: Shared<[UInt8]>, isPending: Bool, closes: Bool) async throws {
        if isPending {
            let writer = try await stream.fillUp(sent)
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            #expect(stream.pendingBytes > 0)
        } else {
            try await stream.write([1, 2])
            sent.value = [1, 2]
        }
        if closes {
            try stream.closeWrite()
            // Behind what is on the way.
            #expect(stream.core.isShutDown == (stream.pendingBytes == 0))
            if isPending { #expect(!stream.core.isShutDown) }
            await expectCode(.closed) { try await stream.write([3]) }
            try stream.closeWrite()
        }
    }

    /// Both halves are closed, and the stream is not: it keeps its descriptor until it is told, and rests.
    @Test(arguments: StreamKind.twoWay) func fault37_aStreamOfWhichBothHalvesAreClosedRestsUntilItIsClosed(kind: StreamKind) async throws {
        try await withStreams(kind) { near, far in
            try near.closeWrite()
            try far.closeWrite()
            #expect(try await near.read() == nil)
            #expect(try await far.read() == nil)
            #expect(near.core.transport != nil && far.core.transport != nil)
            try await expectRest(of: near.loop)
            try await near.close()
            try await far.close()
            #expect(near.core.transport == nil && far.core.transport == nil)
        }
    }
}
