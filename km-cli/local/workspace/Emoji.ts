/**
 * Which reactions exist. The emulator takes any text for an emoji; Slack answers `invalid_name`. The list holds the
 * common names of Slack's standard set, not all of it: a name that is missing is refused here although Slack has it,
 * and the option `customEmoji` adds it.
 */

const standard = `
+1 -1 100 1234 a ab abc abcd accept admission_tickets airplane alarm_clock alien ambulance anchor angel anger angry
anguished ant apple aquarius arrow_down arrow_forward arrow_heading_down arrow_heading_up arrow_left arrow_lower_left
arrow_lower_right arrow_right arrow_right_hook arrow_up arrow_up_down arrow_up_small arrow_upper_left
arrow_upper_right arrows_clockwise arrows_counterclockwise art astonished athletic_shoe atm b baby back badminton
balloon ballot_box_with_check bamboo bangbang bank bar_chart baseball basketball bath bathtub battery bear bee beer
beers beetle beginner bell bento bike birthday black_circle black_heart black_large_square black_medium_square bomb
blue_book blue_heart blush boat bone book bookmark bookmark_tabs books boom bouquet bow bowling boy brain bread
bricks bridge_at_night briefcase broken_heart bug building_construction bulb bullettrain_front burrito bus cactus
cake calendar calling camel camera candle candy car card_file_box card_index cat cd chart_with_downwards_trend
chart_with_upwards_trend checkered_flag cheese_wedge cherries cherry_blossom chicken chocolate_bar christmas_tree
cinema city_sunrise clap clapper clinking_glasses clipboard clock1 clock10 clock12 clock3 clock6 clock9 closed_book
closed_lock_with_key cloud clown_face coffee coffin cold_sweat collision compass compression computer confetti_ball
confounded confused congratulations construction construction_worker control_knobs cookie cool copyright cow crab
credit_card crescent_moon crossed_fingers crossed_swords crown cry crying_cat_face crystal_ball cupid cyclone dagger
dancer dango dart dash date deciduous_tree desert desktop_computer detective diamond_shape_with_a_dot_inside
disappointed disappointed_relieved dizzy dizzy_face dna do_not_litter dog dollar dolphin door double_vertical_bar
doughnut dove_of_peace dragon dress droplet drum duck e-mail eagle ear earth_africa earth_americas earth_asia egg
eggplant eight eject electric_plug elephant email end envelope envelope_with_arrow evergreen_tree exclamation
exploding_head expressionless eye eyeglasses eyes face_palm face_with_monocle face_with_rolling_eyes facepunch
factory fallen_leaf fast_forward fax fearful file_cabinet file_folder film_frames fire fire_engine
fire_extinguisher fireworks first_place_medal fish fist five flag-us flashlight floppy_disk flower_playing_cards
flushed fog football footprints four four_leaf_clover fox_face frog frowning full_moon game_die gear gem ghost gift
girl globe_with_meridians goat golf grapes green_apple green_book green_heart grey_exclamation grey_question
grimacing grin grinning guitar gun hammer hammer_and_pick hammer_and_wrench hamster hand handshake hankey
hash hatched_chick headphones hear_no_evil heart heart_eyes heartbeat heavy_check_mark heavy_division_sign
heavy_dollar_sign heavy_exclamation_mark heavy_minus_sign heavy_multiplication_x heavy_plus_sign helicopter herb
hibiscus high_brightness hocho hole honeybee horse hospital hot_pepper hotel hotsprings hourglass
hourglass_flowing_sand house hugging_face hushed ice_cream icecream id ideograph_advantage imp inbox_tray
incoming_envelope information_source innocent interrobang iphone jack_o_lantern jigsaw joy joy_cat joystick key
keyboard keycap_star keycap_ten kiss kissing knife_fork_plate koala label ladder lantern large_blue_circle
large_blue_diamond large_blue_square large_brown_circle large_green_circle large_green_square large_orange_circle
large_orange_diamond large_purple_circle large_red_square large_yellow_circle large_yellow_square last_quarter_moon
laughing leaves ledger left_right_arrow left_speech_bubble lemon level_slider light_rail link linked_paperclips
lion_face lips lizard lock lock_with_ink_pen lollipop loop loud_sound loudspeaker low_brightness lower_left_ballpoint_pen
luggage lungs mag mag_right magic_wand magnet mailbox mailbox_with_mail man manual_wheelchair maple_leaf mask
massage mechanical_arm medal memo mending_heart mens microphone microscope milky_way minibus minidisc
mobile_phone_off money_mouth_face money_with_wings moneybag monkey monkey_face moon motorway mountain mouse
mouse_trap mushroom musical_note musical_score mute muscle nail_care name_badge nauseated_face necktie
negative_squared_cross_mark nerd_face neutral_face new new_moon newspaper ng nine no_bell no_entry no_entry_sign
no_good no_mouth nose notebook notes nut_and_bolt o o2 ocean octagonal_sign octopus office ok ok_hand old_key
older_man on oncoming_bus one ooo open_book open_file_folder open_hands open_mouth orange_book orange_heart
outbox_tray owl ox package page_facing_up page_with_curl pager palm_tree paperclip parking part_alternation_mark
partying_face party_popper pause_button paw_prints peach pencil pencil2 penguin pensive perfect performing_arts
persevere phone pick pig pill pineapple ping_pong pizza placard play_or_pause_button pleading_face plunger
point_down point_left point_right point_up point_up_2 police_car poop postal_horn postbox pray printer prohibited
purple_heart pushpin put_litter_in_its_place puzzle_piece question rabbit radio radio_button rage railway_car
rainbow raised_hand raised_hands raising_hand receipt recycle red_circle red_heart registered relaxed relieved
reminder_ribbon repeat repeat_one restroom ribbon rice ring robot_face rocket rolled_up_newspaper
rolling_on_the_floor_laughing rose rotating_light round_pushpin rowing runner running sad sake salt sandwich santa
satellite satellite_antenna saxophone scales school scissors scream scroll seat secret see_no_evil seedling
selfie seven shaking_face shark sheep shell shield ship shrug shushing_face signal_strength six skull
skull_and_crossbones sleeping sleepy sleuth_or_spy slightly_frowning_face slightly_smiling_face smile smiley
smirk smoking snail snake snowflake snowman sob soccer soon sos sound space_invader sparkle sparkler sparkles
sparkling_heart speak_no_evil speaker speech_balloon spider spider_web spiral_calendar_pad spiral_note_pad star
star-struck star2 stars stethoscope stop_button stop_sign stopwatch straight_ruler strawberry
stuck_out_tongue sun_with_face sunflower sunglasses sunny sunrise surfer sweat sweat_drops sweat_smile sync syringe
tada tangerine tea telephone telescope tennis test_tube thermometer thinking_face third_place_medal thought_balloon
thread three three_button_mouse thumbsdown thumbsup thunder_cloud_and_rain ticket tiger timer_clock tired_face tm
toilet tomato tongue toolbox tooth tophat tornado traffic_light train tram trash triangular_flag_on_post
triangular_ruler trident triumph trophy tropical_fish truck trumpet tulip turtle tv twisted_rightwards_arrows two
umbrella unamused underage unicorn_face unlock up upside_down_face v vertical_traffic_light vhs vibration_mode
video_camera video_game violin volcano volleyball vs walking waning_gibbous_moon warning wastebasket watch
water_wave watermelon wave waving_black_flag waving_white_flag wc weary whale wheel_of_dharma wheelchair
white_check_mark white_circle white_flag white_heart white_large_square white_square wind_chime wine_glass wink
wolf woman wrench writing_hand x yarn yawning_face yellow_heart yen yin_yang yo-yo yum zany_face zap zero zipper_mouth_face
zombie zzz
`

const names = new Set(standard.split(/\s+/).filter((name) => name !== ""))

/** True for a name Slack would take: known, without colons, with at most a skin tone behind it. */
export const isEmojiName = (name: string, custom: ReadonlySet<string>): boolean => {
  const [base = "", tone, ...rest] = name.split("::")
  if (rest.length > 0 || (tone !== undefined && !/^skin-tone-[2-6]$/.test(tone))) return false
  return names.has(base) || custom.has(base)
}
