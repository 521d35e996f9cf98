"""RFC 5322 and MIME as pure, bounded, iterative functions over octets. Nothing here raises for what a message contains.

    octets (bytes, mmap or memoryview)
      header      where the header ends, its fields as offsets
        address date encodedword parameter references subject     one field's value each
      part        the MIME tree: a flat list of rows with offsets, nothing copied
        decode charset preview                                    a part's body
      structure   ENVELOPE, BODY, BODYSTRUCTURE as wire octets
      digest      all of it at once: what a store keeps of a message

Every cap is in `limits`. Cost is linear in the octets, whatever they are; nothing recurses.
"""
