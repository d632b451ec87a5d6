// service MODE RATE_KIB_S SPAN_S SEED: as service.py.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math"
	"math/rand"
	"os"
	"strconv"
	"time"
)

var sink []byte

func request(dice *rand.Rand, fields int) {
	body := map[string]float64{}
	for i := 0; i < fields; i++ {
		body[strconv.Itoa(i)] = dice.Float64()
	}
	text, _ := json.Marshal(body)
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	packed.Write(text)
	packed.Close()
	sink = out.Bytes()
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func block(dice *rand.Rand, size int) []byte {
	piece := make([]byte, size)
	for i := 0; i < size; i += 64 {
		piece[i] = byte(dice.Intn(255))
	}
	return piece
}

func main() {
	mode, rate, span := os.Args[1], number(os.Args[2])*1024, number(os.Args[3])
	dice := rand.New(rand.NewSource(int64(number(os.Args[4]))))
	var kept [][]byte
	cache := map[int][]byte{}
	var order []int
	owed := 0.0
	begun := time.Now()
	for t := 0; ; t++ {
		now := time.Since(begun).Seconds()
		for i := 0; i < 2+dice.Intn(3); i++ {
			request(dice, 50+dice.Intn(100))
		}
		owed += rate
		switch mode {
		case "leak":
			for owed > 0 {
				size := 500 + dice.Intn(20000)
				kept = append(kept, block(dice, size))
				owed -= float64(size)
			}
		case "goroutines":
			for owed > 0 {
				held := block(dice, 1000+dice.Intn(4000))
				wait := make(chan int)
				go func() {
					sink = append(held[:1:1], byte(<-wait))
				}()
				owed -= 2560 + float64(len(held))
			}
		case "gc":
			for i := 0; i < 30; i++ {
				sink = block(dice, 50000+dice.Intn(200000))
			}
		case "lru":
			room := int(rate * span * 0.35 / 20000)
			for i := 0; i < int(rate/20000)+1; i++ {
				key := t*1000 + i
				cache[key] = block(dice, 10000+dice.Intn(20000))
				order = append(order, key)
			}
			for len(order) > room {
				delete(cache, order[0])
				order = order[1:]
			}
		case "load":
			want := int(40 * (1 - math.Cos(2*math.Pi*now/(span/4.3))))
			for len(kept) < want {
				kept = append(kept, block(dice, 800000))
			}
			kept = append([][]byte(nil), kept[len(kept)-want:]...)
			for i := 0; i < want/4; i++ {
				request(dice, 200)
			}
		}
		time.Sleep(time.Until(begun.Add(time.Duration(t+1) * time.Second)))
	}
}
