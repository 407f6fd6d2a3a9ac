// Writes what CometBFT's own code makes of random validator sets: proposers, priorities, hashes over heights and rounds,
// with joins, leaves and changes of power, and the median time of random commits. See ../README.md.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
)

type member struct {
	Key      string `json:"key"`
	Power    int64  `json:"power"`
	Priority int64  `json:"priority"`
}

type change struct {
	Key   string `json:"key"`
	Power int64  `json:"power"`
}

// One height: the changes that its block brings, and the set of the second height after it.
type step struct {
	Changes  []change `json:"changes"`
	Refused  bool     `json:"refused"`
	Members  []member `json:"members"`
	Proposer string   `json:"proposer"`
	Hash     string   `json:"hash"`
	// Who proposes in rounds 1, 2, 3 and 7 of that height.
	Rounds []string `json:"rounds"`
}

type vote struct {
	Key   string `json:"key"`
	Flag  int    `json:"flag"`
	Nanos int64  `json:"unix_ns"`
}

type median struct {
	Votes []vote `json:"votes"`
	Nanos int64  `json:"unix_ns"`
}

type run struct {
	Genesis []change `json:"genesis"`
	Steps   []step   `json:"steps"`
	Medians []median `json:"medians"`
}

var keys []ed25519.PubKey

func init() {
	for i := 0; i < 24; i++ {
		secret := fmt.Sprintf("rotation %d", i)
		keys = append(keys, ed25519.GenPrivKeyFromSecret([]byte(secret)).PubKey().(ed25519.PubKey))
	}
}

func power(rng *rand.Rand, largest int64) int64 {
	switch rng.Intn(4) {
	case 0:
		return 1 + rng.Int63n(3)
	case 1:
		return 1 + rng.Int63n(1000)
	default:
		return 1 + rng.Int63n(largest)
	}
}

func observe(set *types.ValidatorSet) step {
	out := step{Proposer: set.GetProposer().Address.String(), Hash: hex.EncodeToString(set.Hash())}
	for _, v := range set.Validators {
		out.Members = append(out.Members, member{hex.EncodeToString(v.PubKey.Bytes()), v.VotingPower, v.ProposerPriority})
	}
	for _, round := range []int32{1, 2, 3, 7} {
		out.Rounds = append(out.Rounds, set.CopyIncrementProposerPriority(round).GetProposer().Address.String())
	}
	return out
}

func medianOf(rng *rand.Rand, set *types.ValidatorSet) median {
	base := time.Unix(1_700_000_000, 0).UTC()
	commit := &types.Commit{Height: 3}
	out := median{}
	for _, v := range set.Validators {
		flag := types.BlockIDFlagCommit
		switch rng.Intn(6) {
		case 0:
			flag = types.BlockIDFlagAbsent
		case 1:
			flag = types.BlockIDFlagNil
		}
		at := base.Add(time.Duration(rng.Int63n(5_000_000_000)))
		key := hex.EncodeToString(v.PubKey.Bytes())
		sig := types.CommitSig{BlockIDFlag: flag, ValidatorAddress: v.Address, Timestamp: at}
		if flag == types.BlockIDFlagAbsent {
			sig = types.NewCommitSigAbsent()
		}
		commit.Signatures = append(commit.Signatures, sig)
		out.Votes = append(out.Votes, vote{key, int(flag), at.UnixNano()})
	}
	// Somebody has to have voted.
	first := set.Validators[0]
	at := base.Add(time.Second)
	commit.Signatures[0] = types.CommitSig{BlockIDFlag: types.BlockIDFlagCommit, ValidatorAddress: first.Address, Timestamp: at}
	out.Votes[0] = vote{hex.EncodeToString(first.PubKey.Bytes()), int(types.BlockIDFlagCommit), at.UnixNano()}
	found, err := state.MedianTime(commit, set)
	if err != nil {
		panic(err)
	}
	out.Nanos = found.UnixNano()
	return out
}

func makeRun(seed int64, largest int64) run {
	rng := rand.New(rand.NewSource(seed))
	out := run{}
	var members []*types.Validator
	for _, i := range rng.Perm(len(keys))[:1+rng.Intn(6)] {
		p := power(rng, largest)
		members = append(members, types.NewValidator(keys[i], p))
		out.Genesis = append(out.Genesis, change{hex.EncodeToString(keys[i]), p})
	}
	set := types.NewValidatorSet(members)
	out.Steps = append(out.Steps, observe(set))
	for height := 0; height < 30; height++ {
		next := set.Copy()
		var changes []change
		var updates []*types.Validator
		if rng.Intn(3) == 0 {
			for _, i := range rng.Perm(len(keys))[:1+rng.Intn(4)] {
				p := power(rng, largest)
				if rng.Intn(3) == 0 {
					p = 0
				}
				if p == 0 && !set.HasAddress(keys[i].Address()) && rng.Intn(8) != 0 {
					continue
				}
				if rng.Intn(60) == 0 {
					p = types.MaxTotalVotingPower
				}
				changes = append(changes, change{hex.EncodeToString(keys[i]), p})
				updates = append(updates, types.NewValidator(keys[i], p))
			}
		}
		err := next.UpdateWithChangeSet(updates)
		if err != nil {
			next = set.Copy()
		}
		next.IncrementProposerPriority(1)
		seen := observe(next)
		seen.Changes, seen.Refused = changes, err != nil
		out.Steps = append(out.Steps, seen)
		set = next
		if rng.Intn(5) == 0 {
			out.Medians = append(out.Medians, medianOf(rng, set))
		} else {
			out.Medians = append(out.Medians, median{})
		}
	}
	return out
}

func main() {
	var runs []run
	for seed := int64(1); seed <= 12; seed++ {
		largest := []int64{20, 1_000_000, 1 << 50, types.MaxTotalVotingPower / 30}[seed%4]
		runs = append(runs, makeRun(seed, largest))
	}
	for index, each := range runs {
		line, err := json.Marshal(each)
		if err != nil {
			panic(err)
		}
		prefix := ",\n"
		if index == 0 {
			prefix = "[\n"
		}
		fmt.Fprintf(os.Stdout, "%s%s", prefix, line)
	}
	fmt.Fprintln(os.Stdout, "\n]")
}
