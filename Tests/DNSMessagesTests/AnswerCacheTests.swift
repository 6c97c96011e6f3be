import DNSMessages
import Testing

@Suite struct AnswerCacheTests {
    private func query(_ number: Int) throws -> DNSQuery {
        try DNSQuery(DNSMessage(DNSDraft(DNSHeader(id: 0), [DNSQuestion(try DNSName("n\(number).example.org"), .txt)]).encoded()))
    }

    private func answer(_ number: Int, ttl: UInt32 = 60, size: Int = 4) throws -> DNSMessage {
        let name = try DNSName("n\(number).example.org")
        var draft = DNSDraft(DNSHeader(id: 0, flags: .response), [DNSQuestion(name, .txt)])
        draft.answers = [DNSDraft.Record(name, .txt, ttl: ttl, data: [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size))]
        return try DNSMessage(draft.encoded())
    }

    private func ttls(_ message: DNSMessage?) -> [UInt32]? { message.map { message in message.records.map { message.ttl(of: $0) } } }

    @Test func anAnswerAgesAndIsGoneWhenItIsNotGoodAnyMore() throws {
        var cache = AnswerCache(capacity: 10)
        let query = try query(1)
        #expect(cache.answer(to: query, at: .zero) == nil)
        cache.store(try answer(1), to: query, at: .seconds(100))
        #expect(ttls(cache.answer(to: query, at: .seconds(100))) == [60])
        #expect(ttls(cache.answer(to: query, at: .milliseconds(100_999))) == [60])
        #expect(ttls(cache.answer(to: query, at: .seconds(101))) == [59])
        #expect(ttls(cache.answer(to: query, at: .milliseconds(159_999))) == [1])
        #expect(cache.answer(to: query, at: .seconds(160)) == nil)
        #expect(cache.count == 0)
        #expect(cache.byteCount == 0)
    }

    @Test func theLeastRecentlyUsedGoesFirst() throws {
        var cache = AnswerCache(capacity: 3)
        for number in 1...3 { cache.store(try answer(number), to: try query(number), at: .zero) }
        #expect(cache.answer(to: try query(1), at: .zero) != nil)
        cache.store(try answer(2, ttl: 30), to: try query(2), at: .zero)
        cache.store(try answer(4), to: try query(4), at: .zero)
        #expect(cache.count == 3)
        #expect(cache.answer(to: try query(3), at: .zero) == nil)
        for number in [1, 2, 4] { #expect(cache.answer(to: try query(number), at: .zero) != nil, "\(number)") }
    }

    @Test func memoryIsBoundedHoweverLargeTheAnswersAre() throws {
        var cache = AnswerCache(capacity: 10)
        for number in 0..<10 { cache.store(try answer(number, size: 6000), to: try query(number), at: .zero) }
        #expect(cache.count == 3)
        #expect(cache.byteCount <= 10 * AnswerCache.bytesPerEntry)
        #expect(cache.answer(to: try query(9), at: .zero) != nil)
        cache.store(try answer(50, size: 30_000), to: try query(50), at: .zero)
        #expect(cache.answer(to: try query(50), at: .zero) == nil)
        #expect(cache.count == 3)
    }

    @Test func nothingIsKeptWithoutRoom() throws {
        var cache = AnswerCache(capacity: 0)
        cache.store(try answer(1), to: try query(1), at: .zero)
        #expect(cache.answer(to: try query(1), at: .zero) == nil)
        #expect(cache.count == 0)
    }

    @Test func aNewAnswerReplacesTheOldOne() throws {
        var cache = AnswerCache(capacity: 3)
        cache.store(try answer(1), to: try query(1), at: .zero)
        let size = cache.byteCount
        cache.store(try answer(1, ttl: 5), to: try query(1), at: .zero)
        #expect(cache.byteCount == size)
        #expect(ttls(cache.answer(to: try query(1), at: .zero)) == [5])
        // One that cannot be kept does so, too.
        cache.store(try answer(1, ttl: 0), to: try query(1), at: .zero)
        #expect(cache.count == 0)
        #expect(cache.byteCount == 0)
    }

    @Test func thatThereIsNothingIsNotSaidForLongerThanItIsKept() throws {
        var cache = AnswerCache(capacity: 3)
        cache.store(try DNSMessage(sampleDenial(ttl: 900, minimum: 60).encoded()), to: try query(1), at: .zero)
        #expect(ttls(cache.answer(to: try query(1), at: .seconds(10))) == [50])
        #expect(cache.answer(to: try query(1), at: .seconds(60)) == nil)
    }

    /// The order of use against a list that is searched.
    @Test func theOrderOfUseIsThatOfASimplerCache() throws {
        var cache = AnswerCache(capacity: 5)
        var model: [Int] = []
        var random = UInt64(42)
        for _ in 0..<2000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let number = Int(random >> 33) % 9
            if random >> 60 & 1 == 0 {
                #expect((cache.answer(to: try query(number), at: .zero) != nil) == model.contains(number))
                if !model.contains(number) { continue }
            } else {
                cache.store(try answer(number), to: try query(number), at: .zero)
            }
            model.removeAll { $0 == number }
            model = Array((model + [number]).suffix(5))
            #expect(cache.count == model.count)
        }
    }
}
